//! Where a list goes on: opaque to clients, so that what it consists of may change.
//!
//! ```text
//!   base64url( version 1 | kind | key of the last row )
//! ```
//!
//! Nothing of it is trusted: what does not decode exactly is no cursor, and a cursor that somebody made up names
//! a key like any other, after which a page begins. It carries no filter: the next page has those of its own call.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use storage::inventory::ids::{ReservationId, Sku};

const VERSION: u8 = 1;

/// The longest cursor: a SKU has at most 128 bytes.
const TEXT_BYTES_MAX: usize = (2 + 128) * 4 / 3 + 1;

/// What the rows of a list are ordered by.
pub(crate) trait Key: Sized {
    /// Tells the cursors of different lists apart.
    const KIND: u8;

    /// The key's bytes.
    fn bytes(&self) -> Vec<u8>;

    /// The key of these bytes.
    fn of(bytes: &[u8]) -> Option<Self>;
}

impl Key for Sku {
    const KIND: u8 = 1;

    fn bytes(&self) -> Vec<u8> {
        self.as_str().as_bytes().to_vec()
    }

    fn of(bytes: &[u8]) -> Option<Sku> {
        Sku::new(std::str::from_utf8(bytes).ok()?)
    }
}

impl Key for ReservationId {
    const KIND: u8 = 2;

    fn bytes(&self) -> Vec<u8> {
        [self.sequence.to_be_bytes(), self.nonce.to_be_bytes()].concat()
    }

    fn of(bytes: &[u8]) -> Option<ReservationId> {
        let (sequence, nonce) = bytes.split_at_checked(8)?;
        let number = |half: &[u8]| half.try_into().ok().map(u64::from_be_bytes);
        Some(ReservationId { sequence: number(sequence)?, nonce: number(nonce)? })
    }
}

/// The cursor after a row of that key.
pub(crate) fn encode<K: Key>(key: &K) -> String {
    let mut bytes = vec![VERSION, K::KIND];
    bytes.extend(key.bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key of a cursor, or `None` where the text is no cursor of that list.
pub(crate) fn decode<K: Key>(text: &str) -> Option<K> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    match bytes.split_at_checked(2)? {
        ([VERSION, kind], key) if *kind == K::KIND => K::of(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_key_that_it_was_made_of() {
        for name in ["A", "a.B_c:d-9", &"x".repeat(128)] {
            let sku = Sku::new(name).unwrap();
            assert_eq!(decode::<Sku>(&encode(&sku)), Some(sku));
        }
        for id in [ReservationId { sequence: 0, nonce: 0 }, ReservationId { sequence: u64::MAX, nonce: 7 }] {
            assert_eq!(decode::<ReservationId>(&encode(&id)), Some(id));
        }
    }

    #[test]
    fn what_does_not_decode_exactly_is_no_cursor() {
        let sku = encode(&Sku::new("PS5").unwrap());
        let id = encode(&ReservationId { sequence: 7, nonce: 9 });
        let raw = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(decode::<Sku>(&id), None, "of another list");
        assert_eq!(decode::<ReservationId>(&sku), None, "of another list");
        for bad in [
            String::new(),
            "AQ".to_owned(),
            "null".to_owned(),
            "!!!!".to_owned(),
            format!("{sku}="),
            format!("{sku}A"),
            format!(" {sku}"),
            sku[..sku.len() - 1].to_owned(),
            raw(&[2, 1, b'A']),
            raw(&[1, 1]),
            raw(&[1, 1, b' ']),
            raw(&[1, 1, 0xff]),
            raw(&[&[1, 1][..], &[b'x'; 129]].concat()),
            "A".repeat(1 << 20),
        ] {
            assert_eq!(decode::<Sku>(&bad), None, "{bad:.40}");
        }
        for length in [0, 8, 15, 17] {
            let bytes = [&[1, 2][..], &vec![0; length]].concat();
            assert_eq!(decode::<ReservationId>(&raw(&bytes)), None, "{length}");
        }
    }

    /// The last letter of a text whose bits do not fill it could be any of several.
    #[test]
    fn one_key_has_one_cursor() {
        let sku = encode(&Sku::new("AB").unwrap());
        let others = ('A'..='z').filter(|c| c.is_ascii_alphanumeric());
        let same = others.filter(|last| {
            let other = format!("{}{last}", &sku[..sku.len() - 1]);
            decode::<Sku>(&other) == Sku::new("AB")
        });
        assert_eq!(same.count(), 1);
    }
}
