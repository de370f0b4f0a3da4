//! Whom a client trusts that calls nodes at `https://` addresses.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// Trusts the authorities in that PEM and no others; without any, those that this machine trusts. Where no node is
/// called by TLS it trusts nobody, and what the machine trusts is not read.
pub(crate) fn config(ca: Option<&[u8]>, is_needed: bool) -> Result<ClientConfig, Error> {
    let trusted = match ca {
        Some(pem) => given(pem)?,
        None if is_needed => system()?,
        None => RootCertStore::empty(),
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions();
    let config = config.map_err(|why| Error::Usage(format!("TLS cannot be had: {why}")))?;
    Ok(config.with_root_certificates(trusted).with_no_client_auth())
}

fn given(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        // The library's own text may quote the file, and somebody may have put a key into it.
        let certificate = certificate.map_err(|_| Error::Usage("the CA is not PEM".to_owned()))?;
        let added = trusted.add(certificate);
        added.map_err(|why| Error::Usage(format!("the CA has a certificate that is of no use: {why}")))?;
    }
    match trusted.is_empty() {
        true => Err(Error::Usage("the CA has no certificate in it; give it as PEM".to_owned())),
        false => Ok(trusted),
    }
}

fn system() -> Result<RootCertStore, Error> {
    let mut trusted = RootCertStore::empty();
    // One that cannot be read is one that is not trusted; the others count.
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match trusted.is_empty() {
        true => Err(Error::Usage("this machine trusts no authority; give the nodes' own CA".to_owned())),
        false => Ok(trusted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_that_is_none_is_told_and_none_is_read_where_none_is_needed() {
        assert!(config(None, false).is_ok());
        let damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (bad, why) in [
            (&b""[..], "no certificate in it"),
            (b"no PEM", "no certificate in it"),
            (b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "is not PEM"),
            (damaged, "of no use"),
        ] {
            match config(Some(bad), false) {
                Err(Error::Usage(told)) => assert!(told.contains(why), "{told}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
