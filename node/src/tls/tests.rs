//! What a node makes of its files, at its start and afterwards.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::authority::{Authority, Pair};
use super::*;

/// How long what is made here lasts, in days.
const DAYS: u32 = 100;

/// A directory of certificates, as `lastunit cert new` makes it.
struct Made {
    authority: Authority,
    ca: String,
    directory: TempDir,
}

impl Made {
    fn new() -> Made {
        let (authority, pair) = Authority::new(DAYS).unwrap();
        let made = Made { authority, ca: pair.cert.clone(), directory: tempfile::tempdir().unwrap() };
        fs::write(made.path("ca.pem"), &pair.cert).unwrap();
        for id in 1..=3 {
            made.put(&format!("node-{id}"), &made.pair(id, DAYS));
        }
        made
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn pair(&self, id: u64, days: u32) -> Pair {
        let file = file(self.directory.path(), "");
        self.authority.issue(file.node(id).unwrap(), &[], days).unwrap()
    }

    fn put(&self, name: &str, pair: &Pair) {
        fs::write(self.path(&format!("{name}.pem")), &pair.cert).unwrap();
        self.put_key(name, &pair.key, 0o600);
    }

    fn put_key(&self, name: &str, key: &str, mode: u32) {
        let path = self.path(&format!("{name}.key"));
        fs::write(&path, key).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// What node 1 says at its start.
    fn open(&self) -> Result<Tls, String> {
        self.open_with("")
    }

    /// The same with these lines more in `[tls]`.
    fn open_with(&self, lines: &str) -> Result<Tls, String> {
        Tls::open(&file(self.directory.path(), lines), 1)
    }
}

/// A cluster file with such a `[tls]`.
fn file(directory: &Path, lines: &str) -> ClusterFile {
    let mut text = format!("[cluster]\nname = \"n\"\n[tls]\ndir = {directory:?}\n{lines}\n");
    for id in 1..=3 {
        text.push_str(&format!(
            "[[node]]\nid = {id}\nhttp = \"127.0.0.1:{id}\"\nraft = \"127.0.0.1:1{id}\"\ndata_dir = \"d{id}\"\n"
        ));
    }
    ClusterFile::parse(&text).unwrap()
}

/// Breaks one thing.
type Break = fn(&Made);

#[test]
fn every_unusable_file_is_named_with_its_key_and_the_mend() {
    let broken: [(&str, &str, &str, Break); 12] = [
        ("node-1.pem", "cannot be read", "lastunit cert new", |made| {
            fs::remove_file(made.path("node-1.pem")).unwrap();
        }),
        ("node-1.key", "cannot be read", "lastunit cert new", |made| {
            fs::remove_file(made.path("node-1.key")).unwrap();
        }),
        ("ca.pem", "cannot be read", "lastunit cert new", |made| {
            fs::remove_file(made.path("ca.pem")).unwrap();
        }),
        ("node-1.key", "may be read by every user (mode 644)", "chmod 600", |made| {
            made.put_key("node-1", &made.pair(1, DAYS).key, 0o644);
        }),
        ("node-1.key", "is not the key of the certificate", "cert renew", |made| {
            made.put_key("node-1", &made.pair(1, DAYS).key, 0o600);
        }),
        ("node-1.key", "has no private key in PEM in it", "cert new", |made| {
            made.put_key("node-1", &made.pair(1, DAYS).cert, 0o600);
        }),
        ("node-1.pem", "has no certificate in it", "cert new", |made| {
            fs::write(made.path("node-1.pem"), "").unwrap();
        }),
        ("ca.pem", "has no certificate in it", "cert new", |made| {
            fs::write(made.path("ca.pem"), "").unwrap();
        }),
        ("node-1.pem", "has expired", "cert renew", |made| made.put("node-1", &made.pair(1, 0))),
        ("node-1.pem", "is not made out to node-1.lastunit.internal", "cert renew", |made| {
            made.put("node-1", &made.pair(2, DAYS));
        }),
        ("node-1.pem", "is of another authority", "cert renew", |made| {
            fs::write(made.path("ca.pem"), Authority::new(DAYS).unwrap().1.cert).unwrap();
        }),
        ("node-1.key", "is not the key of the certificate", "cert renew", |made| {
            fs::write(made.path("node-1.pem"), &made.ca).unwrap();
        }),
    ];
    for (name, what, mend, spoil) in broken {
        let made = Made::new();
        made.open().unwrap();
        spoil(&made);
        let key = fs::read_to_string(made.path("node-1.key")).unwrap_or_default();
        let told = made.open().expect_err(what);
        assert!(told.starts_with("key `tls.dir`: ") && told.contains(&format!("/{name} ")), "{told}");
        assert!(told.contains(what) && told.contains(mend), "{told}");
        assert!(!told.contains('\n'), "{told}");
        assert!(
            key.lines()
                .filter(|line| line.len() > 8 && !line.starts_with('-'))
                .all(|line| !told.contains(line))
        );
    }
}

#[test]
fn what_has_no_tls_needs_no_files() {
    let made = Made::new();
    fs::remove_file(made.path("ca.pem")).unwrap();
    let tls = made.open_with("peers = false").unwrap();
    assert!(tls.http().is_some() && tls.peers().is_none());
    // A certificate that a public authority would have made is shown to clients alone.
    made.put("shop", &Made::new().pair(3, DAYS));
    let pair = |name: &str| (made.path(&format!("{name}.pem")), made.path(&format!("{name}.key")));
    let (cert, key) = pair("shop");
    fs::write(made.path("ca.pem"), &made.ca).unwrap();
    let tls = made.open_with(&format!("http_cert = {cert:?}\nhttp_key = {key:?}")).unwrap();
    assert!(tls.http().is_some() && tls.peers().is_some());
    fs::remove_file(&cert).unwrap();
    assert!(made.open_with("http = false").unwrap().http().is_none());
}

/// Held against the very files: which day a moment lies on, and how long this takes, is no matter.
#[test]
fn it_is_known_when_what_is_in_use_ends() {
    let made = Made::new();
    let end_s = |name: &str| {
        let certificate = CertificateDer::from_pem_file(made.path(name)).unwrap();
        files::validity(&certificate).unwrap().1
    };
    let tls = made.open().unwrap();
    let (first_s, authority_s) = (end_s("node-1.pem"), end_s("ca.pem"));
    assert_eq!(tls.ends().in_use(), [("clients", first_s), ("nodes", first_s), ("authority", authority_s)]);
    made.put("node-1", &made.pair(1, 7));
    let next_s = end_s("node-1.pem");
    assert!(next_s < first_s.min(authority_s), "{next_s} is weeks before {first_s} and {authority_s}");
    let files = tls.files.clone().unwrap();
    tls.take(&files, &files.read().unwrap()).unwrap();
    assert_eq!(tls.ends().in_use(), [("clients", next_s), ("nodes", next_s), ("authority", authority_s)]);
    assert_eq!(made.open_with("peers = false").unwrap().ends().in_use(), [("clients", next_s)]);
    assert_eq!(Tls::default().ends().in_use(), []);
}

#[tokio::test]
async fn changed_files_are_taken_whole_or_not_at_all() {
    let made = Made::new();
    let tls = made.open().unwrap();
    let files = tls.files.clone().unwrap();
    made.put("node-1", &made.pair(1, DAYS));
    tls.take(&files, &files.read().unwrap()).unwrap();
    let before = Arc::as_ptr(&tls.http().unwrap().config());
    made.put_key("node-1", &made.pair(1, DAYS).key, 0o600);
    assert!(tls.take(&files, &files.read().unwrap()).is_err());
    made.put("node-1", &made.pair(2, DAYS));
    assert!(tls.take(&files, &files.read().unwrap()).is_err(), "clients would take it, but no node");
    assert_eq!(Arc::as_ptr(&tls.http().unwrap().config()), before, "what clients are shown is as it was");
    made.put("node-1", &made.pair(1, DAYS));
    tls.take(&files, &files.read().unwrap()).unwrap();
    assert_ne!(Arc::as_ptr(&tls.http().unwrap().config()), before);
}
