//! What lies behind the checksums of images and snapshots: bytes that are no record are refused, never a panic.

use bolero::check;

use super::*;

#[test]
fn rows() {
    check!().with_type::<(Vec<u8>, Vec<u8>)>().for_each(|(key, value)| {
        let Ok(records) = decode_row(key, value) else { return };
        for (key, record) in records {
            let again =
                codec::decode_record(&codec::encode_key(&key), &codec::encode_record(&record).unwrap());
            assert_eq!(again.unwrap(), (key, record));
        }
    });
}

#[test]
fn headers() {
    check!().for_each(|bytes: &[u8]| {
        if let Ok(header) = codec::decode_header(bytes) {
            assert_eq!(codec::decode_header(&codec::encode_header(&header).unwrap()).unwrap(), header);
        }
    });
}
