//! Whose directory this is.
//!
//! ```text
//!   <data_dir>/
//!     lock         locked while a process uses the directory; always empty
//!     identity     made when the directory is first used, replaced at each start; its bytes are in docs/formats.md
//!     refused      made where the cluster knows this directory for a copy; says why, and is never used again
//! ```
//!
//! Without an identity a directory must be empty: one that has a log but no identity has lost a part of itself,
//! and a vote given from there could be given twice. For the same reason an identity that says that there was a log
//! is refused where there is none.
//!
//! Copies. Each start takes the next *generation* and a random *nonce*, both on disk before anything else is done. So
//! two starts of one directory never have the same generation; two copies may, and then their nonces differ. Nodes
//! tell each other both, and remember them ([`peers`](crate::peers)): that is how a copy is told from the directory.
//!
//! The directory is made, and the lock taken, in the real file system, whatever the [`Disk`] is: a lock is between
//! processes. All else goes through the disk. The identity is replaced whole, by a rename.

mod format;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::{Disk, parent};
use crate::{LEAVE_STOPPED, StorageError, small};

use format::{CLUSTER_NAME_BYTES_MAX, FILE, write};

const LOCK: &str = "lock";
const REFUSED: (&str, &str) = ("refused", "refused.tmp");

/// What may be in a directory that is new: our own first steps, and what mkfs leaves in a mount point.
const IN_NEW: [&str; 3] = [LOCK, FILE.temporary, "lost+found"];

/// The directory of the log, and what its files' names end with.
const LOG: &str = "log";
const IN_LOG: [&str; 2] = ["seal", ".segment"];

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
    /// Which start of the directory this is, counted from 1.
    pub generation: u64,
    /// A random number of this start: a copy that is started has another one.
    pub nonce: u128,
    /// Whether the log was opened once: from then on a directory without one has lost it.
    pub log_made: bool,
}

/// A data directory, locked by this process as long as this value lives.
pub struct DataDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    identity: Identity,
    _lock: fs::File,
}

impl DataDir {
    /// Locks the directory, creating it where missing, and begins a new start of it, which is on disk at return.
    /// `nonce` is a random number: this start's, and where the directory is new its store id as well.
    ///
    /// # Errors
    /// Refused: a directory in use by another process, of another cluster or node, with files but no identity,
    /// without the log that it had, known for a copy, or written by another version. Corrupt: a damaged identity.
    /// IO: the system said no. A directory that is refused is left as it was.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        cluster_name: &str,
        node_id: u64,
        nonce: u128,
    ) -> Result<DataDir, StorageError> {
        create_durably(&*disk, path)?;
        let lock = lock(path)?;
        let identity = match read(&*disk, path)? {
            Some(identity) => {
                check(path, &identity, cluster_name, node_id)?;
                check_parts(&*disk, path, &identity)?;
                Identity { generation: identity.generation + 1, nonce, ..identity }
            }
            None => {
                refuse_unless_new(&*disk, path)?;
                refuse_long_name(path, cluster_name)?;
                Identity::new(cluster_name, node_id, nonce)
            }
        };
        write(&*disk, path, &identity)?;
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
            None => self.replace(Identity { cluster_id: Some(cluster_id), ..self.identity.clone() }),
        }
    }

    /// Notes that the log is there, durable at return: from now on the directory is refused without it.
    pub fn note_log(&mut self) -> Result<(), StorageError> {
        if self.identity.log_made {
            return Ok(());
        }
        self.replace(Identity { log_made: true, ..self.identity.clone() })
    }

    fn replace(&mut self, identity: Identity) -> Result<(), StorageError> {
        write(&*self.disk, &self.path, &identity)?;
        self.identity = identity;
        Ok(())
    }
}

/// A new directory that is filled by other means than a node's start, locked as long as this value lives. Its identity
/// comes last: a node does not start on one that was left half filled.
pub struct NewDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    _lock: fs::File,
}

impl NewDir {
    /// Locks the directory, creating it where missing.
    ///
    /// # Errors
    /// Refused: something is in it, or another process uses it. IO: the system said no.
    pub fn create(disk: Arc<dyn Disk>, path: &Path) -> Result<NewDir, StorageError> {
        check_empty(&*disk, path)?;
        create_durably(&*disk, path)?;
        let lock = lock(path)?;
        check_empty(&*disk, path)?;
        Ok(NewDir { disk, path: path.to_owned(), _lock: lock })
    }

    /// Makes it the directory of that node, durable at return.
    ///
    /// # Errors
    /// Refused: the cluster's name is too long. IO: the system said no.
    pub fn finish(self, identity: &Identity) -> Result<(), StorageError> {
        refuse_long_name(&self.path, &identity.cluster_name)?;
        write(&*self.disk, &self.path, identity)
    }
}

/// Whether a directory is new: not there, or nothing in it that counts.
///
/// # Errors
/// Refused: it is not. IO: the system said no.
pub fn check_empty(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let names = match disk.list(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(StorageError::io("list", path))?,
    };
    match names.iter().find(|name| !IN_NEW.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(refused(
            path,
            format!("is not empty: it has {name:?}"),
            "move that directory away, or point data_dir of this [[node]] in cluster.toml at an empty one",
        )),
    }
}

impl Identity {
    /// Of a directory that is used for the first time.
    fn new(cluster_name: &str, node_id: u64, nonce: u128) -> Identity {
        let cluster_name = cluster_name.to_owned();
        Identity {
            cluster_name,
            cluster_id: None,
            node_id,
            store_id: nonce,
            generation: 1,
            nonce,
            log_made: false,
        }
    }
}

/// Notes that the cluster will not have a directory, which is a copy or of a node that was removed, durable at return.
/// `mend` is what is to be done, where that is not to put another one back. It is refused from now on, and so a
/// supervisor that starts it again and again cannot count its generation up to where it is taken for a newer one.
/// For the process that has it locked; generation and nonce are those of the start that was found out. Where the
/// directory was started again since, it is left alone: what was said of that start may not be so of this one.
///
/// # Errors
/// Corrupt, refused: the identity cannot be read. IO: the system said no.
pub fn disown(
    disk: &dyn Disk,
    dir: &Path,
    generation: u64,
    nonce: u128,
    why: &str,
    mend: Option<&str>,
) -> Result<(), StorageError> {
    let is_start = |it: &Identity| (it.generation, it.nonce) == (generation, nonce);
    if !read(disk, dir)?.is_some_and(|identity| is_start(&identity)) {
        return Ok(());
    }
    let (name, temporary) = REFUSED;
    let mend = mend.map(|mend| format!("{mend}\n")).unwrap_or_default();
    small::replace(disk, dir, name, temporary, format!("{why}\n{mend}").as_bytes())
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

/// Whether a directory has what its identity says, and was not refused by its cluster.
///
/// # Errors
/// Refused: the log is gone, or the cluster knows the directory for a copy. IO: the system said no.
pub fn check_parts(disk: &dyn Disk, path: &Path, identity: &Identity) -> Result<(), StorageError> {
    refuse_disowned(disk, path)?;
    refuse_without_log(disk, path, identity)
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

/// What the file says is for people: that it is there is what counts.
fn refuse_disowned(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let path = path.join(REFUSED.0);
    let Some(text) = small::read(disk, &path)? else { return Ok(()) };
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    let why = lines.next().unwrap_or("the cluster has refused this directory").to_owned();
    let put_back = || format!("put this node's newest directory back, or {LEAVE_STOPPED}");
    Err(refused(&path, why, &lines.next().map_or_else(put_back, str::to_owned)))
}

fn refuse_without_log(disk: &dyn Disk, path: &Path, identity: &Identity) -> Result<(), StorageError> {
    let log = path.join(LOG);
    let names = match disk.list(&log) {
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(StorageError::io("list", &log))?,
    };
    let is_there = names.iter().any(|name| IN_LOG.iter().any(|end| name.ends_with(end)));
    if is_there || !identity.log_made {
        return Ok(());
    }
    Err(refused(
        &log,
        "the log is gone, and with it the votes and entries that this node has promised to keep".to_owned(),
        &format!("put the log back, or {LEAVE_STOPPED}"),
    ))
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

/// Keeps a directory from being used by a node as long as the answer lives; `None` where it has no lock file, which is
/// not made. Nothing in the directory changes. Any number of readers may hold it at once.
///
/// # Errors
/// Refused: a process uses the directory. IO: the system said no.
pub fn hold(dir: &Path) -> Result<Option<fs::File>, StorageError> {
    let path = dir.join(LOCK);
    let file = match fs::File::open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(StorageError::io("open", &path))?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::Error(e)) => Err(StorageError::io("lock", &path)(e)),
        Err(fs::TryLockError::WouldBlock) => {
            Err(refused(dir, "is in use by another process".to_owned(), "stop that process first"))
        }
    }
}

/// Creates a directory and its parents; every new name is on disk at return. So is the directory's own name where it
/// was there: who made it may have ended before that was synced.
fn create_durably(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let is_missing = |path: &&Path| disk.list(path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
    let named = path.ancestors().take_while(|path| !path.as_os_str().is_empty());
    let missing: Vec<&Path> = named.take_while(is_missing).collect();
    disk.create_dir_all(path).map_err(StorageError::io("create", path))?;
    missing.into_iter().try_for_each(|new| sync_parent(disk, new))?;
    match sync_parent(disk, path) {
        // We cannot have made it in a directory that we may not read.
        Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let parent = parent(path);
    disk.sync_dir(parent).map_err(StorageError::io("fsync", parent))
}

/// The identity of a directory, which is neither locked nor changed; `None` where it has none.
///
/// # Errors
/// Corrupt: the file is damaged. Refused: another version of lastunit wrote it. IO: the system said no.
pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, StorageError> {
    format::read(disk, dir)
}

fn refused(path: &Path, what: String, mend: &str) -> StorageError {
    StorageError::Refused { path: path.to_owned(), what, mend: mend.to_owned() }
}

#[cfg(test)]
mod tests;
