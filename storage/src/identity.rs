//! Whose directory this is.
//!
//! ```text
//!   <data_dir>/
//!     lock         locked while a process uses the directory; always empty
//!     identity     made when the directory is first used; see below
//!
//!   identity:  magic (8) | version (4) | node id (8) | store id (16) | cluster id: known (1), id (16)
//!              | length of the name (2) | cluster name | CRC-32 of all before it (4)       little-endian
//! ```
//!
//! Without an identity a directory must be empty: one that has a log but no identity has lost a part of itself,
//! and a vote given from there could be given twice. The file is replaced whole, by a rename.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::{Disk, File, Mode};
use crate::{LEAVE_STOPPED, StorageError};

const NAME: &str = "identity";
const TEMPORARY: &str = "identity.tmp";
const LOCK: &str = "lock";

/// What may be in a directory that is new: our own first steps, and what mkfs leaves in a mount point.
const IN_NEW: [&str; 3] = [LOCK, TEMPORARY, "lost+found"];

const MAGIC: &[u8; 8] = b"LUident\n";
const VERSION: u32 = 1;

/// The longest name of a cluster, in bytes.
const CLUSTER_NAME_BYTES_MAX: usize = 1024;

/// Far more than the file ever takes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the identity file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster's name, from the cluster file.
    pub cluster_name: String,
    /// The cluster's id, made once when it is formed; `None` before.
    pub cluster_id: Option<u128>,
    /// The node's id, from the cluster file.
    pub node_id: u64,
    /// This directory's id, made once when it is first used.
    pub store_id: u128,
}

/// A data directory, locked by this process as long as this value lives.
pub struct DataDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    identity: Identity,
    _lock: fs::File,
}

impl DataDir {
    /// Locks the directory, creating it where missing, and reads its identity. A new directory gets `store_id`.
    ///
    /// The lock is always taken in the real file system, whatever `disk` is.
    ///
    /// # Errors
    /// Refused: a directory in use by another process, of another cluster or node, with files but no identity, or
    /// written by a newer lastunit. Corrupt: a damaged identity. IO: the system said no.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        cluster_name: &str,
        node_id: u64,
        store_id: u128,
    ) -> Result<DataDir, StorageError> {
        create_durably(&*disk, path)?;
        let lock = lock(path)?;
        let identity = match read(&*disk, path)? {
            Some(identity) => identity,
            None => {
                refuse_unless_new(&*disk, path)?;
                refuse_long_name(path, cluster_name)?;
                let cluster_name = cluster_name.to_owned();
                let identity = Identity { cluster_name, cluster_id: None, node_id, store_id };
                write(&*disk, path, &identity)?;
                identity
            }
        };
        check(path, &identity, cluster_name, node_id)?;
        Ok(DataDir { disk, path: path.to_owned(), identity, _lock: lock })
    }

    /// The identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes the cluster's id, durable at return. Refused where it has another one.
    pub fn join(&mut self, cluster_id: u128) -> Result<(), StorageError> {
        match self.identity.cluster_id {
            Some(own) if own == cluster_id => Ok(()),
            Some(own) => Err(refused(
                &self.path,
                format!(
                    "belongs to the cluster with id {own:032x}, not to the one with id {cluster_id:032x}"
                ),
                "check the addresses in cluster.toml, or point data_dir of this [[node]] at an empty directory",
            )),
            None => {
                let identity = Identity { cluster_id: Some(cluster_id), ..self.identity.clone() };
                write(&*self.disk, &self.path, &identity)?;
                self.identity = identity;
                Ok(())
            }
        }
    }
}

/// Compares the identity with what cluster.toml says.
fn check(path: &Path, identity: &Identity, cluster_name: &str, node_id: u64) -> Result<(), StorageError> {
    if identity.cluster_name != cluster_name {
        let own = &identity.cluster_name;
        return Err(refused(
            path,
            format!("belongs to cluster {own:?}, but cluster.name in cluster.toml is {cluster_name:?}"),
            "set cluster.name back, or point data_dir of this [[node]] at another directory",
        ));
    }
    if identity.node_id != node_id {
        let own = identity.node_id;
        return Err(refused(
            path,
            format!("belongs to node {own}, but this is started as node {node_id}"),
            "set id or data_dir of this [[node]] in cluster.toml back, or start it with the right --node",
        ));
    }
    Ok(())
}

fn refuse_unless_new(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let names = disk.list(path).map_err(StorageError::io("list", path))?;
    match names.iter().find(|name| !IN_NEW.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(refused(
            path,
            format!("has files (such as {name:?}) but no identity file"),
            "put the identity file back, or point data_dir of this [[node]] in cluster.toml at an empty directory",
        )),
    }
}

fn refuse_long_name(path: &Path, cluster_name: &str) -> Result<(), StorageError> {
    if cluster_name.len() <= CLUSTER_NAME_BYTES_MAX {
        return Ok(());
    }
    let what = format!("cannot belong to a cluster whose name has {} bytes", cluster_name.len());
    Err(refused(path, what, "set cluster.name in cluster.toml to at most 1024 bytes"))
}

fn lock(dir: &Path) -> Result<fs::File, StorageError> {
    fs::create_dir_all(dir).map_err(StorageError::io("create", dir))?;
    let path = dir.join(LOCK);
    let file = fs::File::create(&path).map_err(StorageError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::Error(e)) => Err(StorageError::io("lock", &path)(e)),
        Err(fs::TryLockError::WouldBlock) => Err(refused(
            dir,
            "is in use by another process".to_owned(),
            "stop that process, or point data_dir of this [[node]] in cluster.toml at another directory",
        )),
    }
}

/// Creates a directory and its parents; every new name is on disk at return.
fn create_durably(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let is_missing = |path: &&Path| disk.list(path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
    let named = path.ancestors().take_while(|path| !path.as_os_str().is_empty());
    let missing: Vec<&Path> = named.take_while(is_missing).collect();
    disk.create_dir_all(path).map_err(StorageError::io("create", path))?;
    missing.into_iter().try_for_each(|new| sync_parent(disk, new))
}

fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.sync_dir(parent).map_err(StorageError::io("fsync", parent))
}

/// The identity of a directory, which is neither locked nor changed; `None` where it has none.
///
/// # Errors
/// Corrupt: the file is damaged. Refused: a newer lastunit wrote it. IO: the system said no.
pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, StorageError> {
    let path = dir.join(NAME);
    let file = match disk.open(&path, Mode::Read) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(StorageError::io("open", &path))?,
    };
    let bytes = read_whole(&*file).map_err(StorageError::io("read", &path))?;
    decode(&bytes).map(Some).map_err(|failure| failure.at(&path))
}

fn read_whole(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.len()?.min(FILE_BYTES_MAX) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Replaces the file, durable at return.
fn write(disk: &dyn Disk, dir: &Path, identity: &Identity) -> Result<(), StorageError> {
    let temporary = dir.join(TEMPORARY);
    match disk.remove(&temporary) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(StorageError::io("remove", &temporary)(e)),
        _ => {}
    }
    write_synced(disk, &temporary, &encode(identity)).map_err(StorageError::io("write", &temporary))?;
    let path = dir.join(NAME);
    disk.rename(&temporary, &path).map_err(StorageError::io("rename", &path))?;
    disk.sync_dir(dir).map_err(StorageError::io("fsync", dir))
}

fn write_synced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(path, Mode::CreateNew)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()
}

/// Why bytes are not an identity.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Damaged(&'static str),
    Newer(u32),
}

impl Failure {
    fn at(self, path: &Path) -> StorageError {
        match self {
            Failure::Newer(version) => refused(
                path,
                format!("format version {version} is newer than this lastunit knows ({VERSION})"),
                "run the lastunit that wrote it, or a newer one",
            ),
            Failure::Damaged(what) => StorageError::Corrupt {
                path: path.to_owned(),
                offset: 0,
                what: what.to_owned(),
                mend: format!("put a copy of this very file back, or {LEAVE_STOPPED}"),
            },
        }
    }
}

fn encode(identity: &Identity) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(identity.node_id.to_le_bytes());
    bytes.extend(identity.store_id.to_le_bytes());
    bytes.push(identity.cluster_id.is_some().into());
    bytes.extend(identity.cluster_id.unwrap_or_default().to_le_bytes());
    bytes.extend((identity.cluster_name.len() as u16).to_le_bytes());
    bytes.extend(identity.cluster_name.as_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<Identity, Failure> {
    let (body, crc) = bytes.split_last_chunk().ok_or(Failure::Damaged("the file is cut short"))?;
    // Every version ends in this checksum, so that damage is not taken for a newer version.
    if u32::from_le_bytes(*crc) != crc32fast::hash(body) {
        return Err(Failure::Damaged("a wrong checksum"));
    }
    let fields = body.strip_prefix(MAGIC).ok_or(Failure::Damaged("this is not an identity file"))?;
    let (version, fields) = fields.split_first_chunk().ok_or(Failure::Damaged("the file is cut short"))?;
    match u32::from_le_bytes(*version) {
        VERSION => decode_fields(fields).ok_or(Failure::Damaged("the fields do not make an identity")),
        0 => Err(Failure::Damaged("format version 0")),
        newer => Err(Failure::Newer(newer)),
    }
}

fn decode_fields(fields: &[u8]) -> Option<Identity> {
    let (node_id, rest) = fields.split_first_chunk()?;
    let (store_id, rest) = rest.split_first_chunk()?;
    let ([known], rest) = rest.split_first_chunk()?;
    let (cluster_id, rest) = rest.split_first_chunk()?;
    let (name_len, name) = rest.split_first_chunk()?;
    if *known > 1 || name.len() != usize::from(u16::from_le_bytes(*name_len)) {
        return None;
    }
    Some(Identity {
        cluster_name: String::from_utf8(name.to_vec()).ok()?,
        cluster_id: (*known == 1).then(|| u128::from_le_bytes(*cluster_id)),
        node_id: u64::from_le_bytes(*node_id),
        store_id: u128::from_le_bytes(*store_id),
    })
}

fn refused(path: &Path, what: String, mend: &str) -> StorageError {
    StorageError::Refused { path: path.to_owned(), what, mend: mend.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn open(path: &Path, cluster_name: &str, node_id: u64) -> Result<DataDir, StorageError> {
        DataDir::open(Arc::new(RealDisk), path, cluster_name, node_id, 77)
    }

    /// Asserts that it is refused, in one line that contains the words.
    fn assert_refused<T>(opened: Result<T, StorageError>, words: &[&str]) {
        let Err(error) = opened else { panic!("not refused") };
        assert!(matches!(error, StorageError::Refused { .. }), "{error}");
        let line = error.to_string();
        assert!(!line.contains('\n'), "{line}");
        words.iter().for_each(|word| assert!(line.contains(word), "no {word:?} in: {line}"));
    }

    fn identity() -> Identity {
        let cluster_name = "lastunit-dev".to_owned();
        Identity { cluster_name, cluster_id: Some(5 << 100), node_id: 1, store_id: 77 }
    }

    #[test]
    fn a_new_directory_gets_an_identity_that_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/deep/1");
        let first = open(&path, "lastunit-dev", 1).unwrap();
        assert_eq!(first.path(), path);
        assert_eq!(first.identity(), &Identity { cluster_id: None, ..identity() });
        drop(first);
        let again = DataDir::open(Arc::new(RealDisk), &path, "lastunit-dev", 1, 78).unwrap();
        assert_eq!(again.identity().store_id, 77);
    }

    #[test]
    fn joining_is_remembered_and_joining_another_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut data = open(dir.path(), "lastunit-dev", 1).unwrap();
        data.join(5 << 100).unwrap();
        data.join(5 << 100).unwrap();
        assert_refused(data.join(6), &["belongs to the cluster with id", "cluster.toml"]);
        drop(data);
        assert_eq!(open(dir.path(), "lastunit-dev", 1).unwrap().identity(), &identity());
    }

    #[test]
    fn another_cluster_or_node_is_refused_with_the_key() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "lastunit-dev", 1).unwrap());
        assert_refused(open(dir.path(), "other", 1), &["lastunit-dev", "other", "cluster.name"]);
        assert_refused(open(dir.path(), "lastunit-dev", 2), &["node 1", "node 2", "id"]);
        open(dir.path(), "lastunit-dev", 1).unwrap();
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_refused(open(dir.path(), &"n".repeat(1025), 1), &["cluster.name"]);
        let longest = "n".repeat(1024);
        assert_eq!(open(dir.path(), &longest, 1).unwrap().identity().cluster_name, longest);
    }

    #[test]
    fn a_second_handle_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), "lastunit-dev", 1).unwrap();
        assert_refused(open(dir.path(), "lastunit-dev", 1), &["in use by another process", "data_dir"]);
        drop(first);
        open(dir.path(), "lastunit-dev", 1).unwrap();
    }

    /// Run by the test below in a process of its own: tries to open the directory named in the environment.
    #[test]
    fn child_that_opens_a_directory() {
        let Ok(path) = std::env::var("LASTUNIT_TEST_DATA_DIR") else {
            return;
        };
        assert_refused(open(Path::new(&path), "lastunit-dev", 1), &["in use by another process"]);
        println!("refused as it should be");
    }

    #[test]
    fn a_second_process_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _first = open(dir.path(), "lastunit-dev", 1).unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "identity::tests::child_that_opens_a_directory", "--nocapture"])
            .env("LASTUNIT_TEST_DATA_DIR", dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("refused as it should be"), "{said}");
    }

    #[test]
    fn a_mount_point_is_new_but_a_directory_with_files_is_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("lost+found")).unwrap();
        fs::write(dir.path().join(TEMPORARY), "the rest of a crash").unwrap();
        drop(open(dir.path(), "lastunit-dev", 1).unwrap());
        fs::create_dir(dir.path().join("log")).unwrap();
        drop(open(dir.path(), "lastunit-dev", 1).unwrap());

        fs::remove_file(dir.path().join(NAME)).unwrap();
        assert_refused(open(dir.path(), "lastunit-dev", 1), &["\"log\"", "no identity file", "data_dir"]);
        assert!(!dir.path().join(NAME).exists());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_io_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for path in [dir.path().join("file"), dir.path().join("file/below"), "/proc/lastunit".into()] {
            let Err(error) = open(&path, "lastunit-dev", 1) else { panic!("{path:?} was opened") };
            assert!(matches!(error, StorageError::Io { .. }), "{error}");
        }
    }

    #[test]
    fn the_file_has_golden_bytes() {
        #[rustfmt::skip]
        let golden = [
            b'L', b'U', b'i', b'd', b'e', b'n', b't', b'\n', 1, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0,
            77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0,
            12, 0, b'l', b'a', b's', b't', b'u', b'n', b'i', b't', b'-', b'd', b'e', b'v',
        ];
        let bytes = encode(&identity());
        let (body, crc) = bytes.split_last_chunk::<4>().unwrap();
        assert_eq!(body, golden);
        assert_eq!(u32::from_le_bytes(*crc), crc32fast::hash(&golden));
    }

    #[test]
    fn every_identity_comes_back() {
        for cluster_id in [None, Some(0), Some(1), Some(u128::MAX)] {
            for cluster_name in ["", "a", "lastunit-dev", "sh\u{f6}p"] {
                for (node_id, store_id) in [(0, 0), (1, 77), (u64::MAX, u128::MAX)] {
                    let cluster_name = cluster_name.to_owned();
                    let identity = Identity { cluster_name, cluster_id, node_id, store_id };
                    assert_eq!(decode(&encode(&identity)).unwrap(), identity);
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_addition_is_seen() {
        let whole = encode(&identity());
        let flips = (0..whole.len() * 8).map(|bit| {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        let cuts = (0..whole.len()).map(|len| whole[..len].to_vec());
        let others = [vec![0; whole.len()], [&whole[..], &[0]].concat(), [&whole[..], &whole[..]].concat()];
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "lastunit-dev", 1).unwrap());
        for damaged in flips.chain(cuts).chain(others) {
            fs::write(dir.path().join(NAME), &damaged).unwrap();
            let Err(error) = read(&RealDisk, dir.path()) else { panic!("accepted {damaged:?}") };
            assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        }
        assert!(matches!(open(dir.path(), "lastunit-dev", 1), Err(StorageError::Corrupt { .. })));
    }

    #[test]
    fn a_newer_version_is_refused() {
        let mut newer = encode(&identity());
        newer[8] = 2;
        let body = newer.len() - 4;
        let crc = crc32fast::hash(&newer[..body]).to_le_bytes();
        newer[body..].copy_from_slice(&crc);
        assert_eq!(decode(&newer), Err(Failure::Newer(2)));
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), newer).unwrap();
        assert_refused(open(dir.path(), "lastunit-dev", 1), &["version 2", "newer"]);
    }
}
