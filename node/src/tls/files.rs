//! The files of a node's TLS: read, and held against what they must be.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use raft::{PeerKeys, Unfit};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, ServerConfig};
use sha2::{Digest, Sha256};
use x509_cert::der::Decode;

use super::http;
use crate::clock;
use crate::config::{Named, NodeFiles, TlsConfig};

/// The longest file that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The bits of a mode by which all users may read or write.
const OTHERS: u32 = 0o007;

/// A certificate that ends this soon is warned of, in seconds: two weeks.
const SOON_S: u64 = 14 * 86_400;

const MAKE: &str = "make it with lastunit cert new, or name another file";
const RENEW: &str = "make it anew with lastunit cert renew";

/// Which files a node reads.
#[derive(Debug, Clone)]
pub(super) struct Files {
    files: NodeFiles,
    http: bool,
    peers: bool,
}

/// What was in them.
pub(super) struct Texts {
    /// The authorities' certificates; empty where nodes have no TLS.
    ca: Vec<u8>,
    /// The certificate and the key for the other nodes; empty likewise.
    peers: [Vec<u8>; 2],
    /// The certificate and the key for clients; empty where they are answered without TLS.
    http: [Vec<u8>; 2],
}

/// Why a file is of no use, in one line.
#[derive(Debug)]
pub(super) struct Unusable {
    file: Named,
    what: String,
    mend: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unusable { file: Named { key, path }, what, mend } = self;
        write!(f, "key `{key}`: {} {what}; {mend}", path.display())
    }
}

impl Texts {
    /// The same for the same files, and no key.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for text in [&self.ca].into_iter().chain(&self.peers).chain(&self.http) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

impl Files {
    pub(super) fn of(config: &TlsConfig, id: u64) -> Files {
        Files { files: config.files(id), http: config.http, peers: config.peers }
    }

    /// Reads them all.
    pub(super) fn read(&self) -> Result<Texts, Unusable> {
        let pair = |[cert, key]: &[Named; 2]| {
            check_mode(key)?;
            Ok([read(cert)?, read(key)?])
        };
        Ok(Texts {
            ca: self.peers.then(|| read(&self.files.ca)).transpose()?.unwrap_or_default(),
            peers: self.peers.then(|| pair(&self.files.peers)).transpose()?.unwrap_or_default(),
            http: self.http.then(|| pair(&self.files.http)).transpose()?.unwrap_or_default(),
        })
    }

    /// What clients are shown.
    pub(super) fn http(&self, texts: &Texts) -> Result<Option<ServerConfig>, Unusable> {
        if !self.http {
            return Ok(None);
        }
        let [cert, key] = &self.files.http;
        let (chain, parsed) = (certificates(cert, &texts.http[0])?, private_key(key, &texts.http[1])?);
        check_date(cert, &chain)?;
        let config = http::config(chain, parsed).map_err(|why| match why {
            Error::InconsistentKeys(_) => unusable(key, "is not the key of the certificate", RENEW),
            why => unusable(cert, format!("is of no use: {why}"), RENEW),
        })?;
        Ok(Some(config))
    }

    /// What the other nodes are shown, and whom this one trusts.
    pub(super) fn peers(&self, texts: &Texts) -> Result<Option<PeerKeys>, Unusable> {
        if !self.peers {
            return Ok(None);
        }
        let [cert, key] = &self.files.peers;
        Ok(Some(PeerKeys {
            authorities: certificates(&self.files.ca, &texts.ca)?,
            chain: certificates(cert, &texts.peers[0])?,
            key: private_key(key, &texts.peers[1])?,
        }))
    }

    /// Which file is at fault.
    pub(super) fn unfit(&self, unfit: Unfit) -> Unusable {
        let [cert, key] = &self.files.peers;
        let what = unfit.to_string();
        match unfit {
            Unfit::Authority(_) => unusable(&self.files.ca, what, MAKE),
            Unfit::Certificate(_) => unusable(cert, what, RENEW),
            Unfit::Key(_) => unusable(key, what, RENEW),
        }
    }

    /// When what clients are shown ends, what nodes are shown, and what they trust: the first of each file to end.
    pub(super) fn ends_s(&self, texts: &Texts) -> [Option<u64>; 3] {
        let ([http, _], [peers, _]) = (&self.files.http, &self.files.peers);
        let first = |file, text: &[u8]| {
            let ends = certificates(file, text).ok()?.into_iter().filter_map(|one| Some(validity(&one)?.1));
            ends.min()
        };
        [first(http, &texts.http[0]), first(peers, &texts.peers[0]), first(&self.files.ca, &texts.ca)]
    }

    /// Says in the log which certificates are shown, and for how long.
    pub(super) fn tell(&self, texts: &Texts) {
        for (name, [cert, _], [text, _], shown) in [
            ("clients", &self.files.http, &texts.http, self.http),
            ("nodes", &self.files.peers, &texts.peers, self.peers),
        ] {
            let end = certificates(cert, text).ok().and_then(|chain| Some(validity(chain.first()?)?.1));
            let (true, Some(end)) = (shown, end) else { continue };
            let path = cert.path.display();
            let until = clock::rfc3339(end);
            match end.saturating_sub(now_s()) < SOON_S {
                true => tracing::warn!(%path, until, "the certificate shown to {name} ends soon; {RENEW}"),
                false => tracing::info!(%path, until, "the certificate shown to {name}"),
            }
        }
    }
}

fn read(file: &Named) -> Result<Vec<u8>, Unusable> {
    read_bytes(&file.path).map_err(|error| unusable(file, format!("cannot be read: {error}"), MAKE))
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    match length > BYTES_MAX {
        true => Err(io::Error::other(format!("it has {length} bytes, more than {BYTES_MAX}"))),
        false => fs::read(path),
    }
}

/// A key is its owner's, or a group's that the owner has chosen. What cannot be looked at cannot be read either.
fn check_mode(key: &Named) -> Result<(), Unusable> {
    let mode = fs::metadata(&key.path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let what = format!("may be read by every user (mode {:o})", mode & 0o777);
    Err(unusable(key, what, format!("chmod 600 {}, and make it anew if others may have", key.path.display())))
}

fn certificates(file: &Named, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let parsed: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    // The library's own text may quote the file, and somebody may have put a key into it.
    let parsed = parsed.map_err(|_| unusable(file, "is not PEM", MAKE))?;
    match parsed.is_empty() {
        true => Err(unusable(file, "has no certificate in it", MAKE)),
        false => Ok(parsed),
    }
}

fn private_key(file: &Named, text: &[u8]) -> Result<PrivateKeyDer<'static>, Unusable> {
    // The library's own text may quote the file.
    PrivateKeyDer::from_pem_slice(text).map_err(|_| unusable(file, "has no private key in PEM in it", MAKE))
}

fn check_date(file: &Named, chain: &[CertificateDer<'_>]) -> Result<(), Unusable> {
    let Some((from, end)) = chain.first().and_then(validity) else {
        return Err(unusable(file, "has a certificate in it that cannot be read", RENEW));
    };
    match now_s() {
        now if now < from => Err(unusable(file, "is not valid yet", "look at this machine's clock")),
        now if now > end => Err(unusable(file, "has expired", RENEW)),
        _ => Ok(()),
    }
}

/// When a certificate is valid, in seconds since 1970.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<(u64, u64)> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate.validity;
    let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
    Some((seconds(validity.not_before), seconds(validity.not_after)))
}

fn now_s() -> u64 {
    clock::wall_ms() / 1000
}

fn unusable(file: &Named, what: impl Into<String>, mend: impl Into<String>) -> Unusable {
    Unusable { file: file.clone(), what: what.into(), mend: mend.into() }
}
