//! Says whose connections are refused for their TLS, or for their want of it.
//!
//! A node that is refused dials again and again: each reason is told once in [`TELL_EVERY`], whoever it is about.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::{CertificateError, Error};
use tokio::time::Instant;

use super::said_of;

/// How often a reason is told at most.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How a TLS connection begins: the type of its first record, the major version, and any minor one.
const TLS_HELLO: [u8; 2] = [22, 3];

/// What was told of, and when.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<BTreeMap<(Option<u64>, &'static str), Instant>>);

impl Strangers {
    /// A dialler speaks TLS, and this node does not.
    pub(crate) fn speaks_tls(&self) -> io::Error {
        let what = "it speaks TLS, and this node has no TLS between nodes in its cluster file";
        self.refused("tls", what.to_owned())
    }

    /// A dialler says that it is that node, and its certificate says another thing.
    pub(crate) fn is_not(&self, id: u64) -> io::Error {
        self.refused("id", format!("it says that it is node {id}, and its certificate is not that node's"))
    }

    /// A dialler's TLS came to nothing.
    pub(crate) fn failed(&self, why: io::Error) -> io::Error {
        match cause(&why) {
            Some(Error::InvalidMessage(_)) => {
                let what = "it does not speak TLS, which this node's cluster file has between nodes";
                self.refused("plain", what.to_owned())
            }
            Some(Error::InvalidCertificate(why)) => {
                self.refused("certificate", format!("its certificate {}", said_of(why)))
            }
            Some(Error::NoCertificatesPresented) => {
                self.refused("none", "it shows no certificate".to_owned())
            }
            Some(Error::AlertReceived(alert)) => {
                self.refused("alert", format!("it does not take this node's certificate: {alert:?}"))
            }
            _ => why,
        }
    }

    /// What was dialled as that node is refused, or refuses this one.
    pub(crate) fn note_dialled(&self, to: u64, why: &io::Error) {
        match cause(why) {
            Some(Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })) => {
                self.tell(Some(to), "name", || format!("whoever answers as node {to} is not that node"));
            }
            Some(Error::InvalidCertificate(why)) => {
                self.tell(Some(to), "certificate", || {
                    format!("the certificate of node {to} {}", said_of(why))
                });
            }
            Some(Error::AlertReceived(alert)) => {
                self.tell(Some(to), "alert", || {
                    format!("node {to} does not take this node's certificate: {alert:?}")
                });
            }
            Some(Error::InvalidMessage(_)) => {
                self.tell(Some(to), "plain", || format!("node {to} does not speak TLS between nodes"));
            }
            _ => {}
        }
    }

    fn refused(&self, reason: &'static str, what: String) -> io::Error {
        self.tell(None, reason, || format!("refused a connection between nodes: {what}"));
        io::Error::new(io::ErrorKind::PermissionDenied, what)
    }

    fn tell(&self, of: Option<u64>, reason: &'static str, line: impl FnOnce() -> String) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&(of, reason)).is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return;
        }
        told.insert((of, reason), Instant::now());
        tracing::warn!("{}", line());
    }
}

/// Whether a connection begins as TLS does. No frame does: its length would be that of no hello.
pub(super) fn is_tls(start: &[u8]) -> bool {
    start.starts_with(&TLS_HELLO) && start.get(2).is_some_and(|minor| (1..=4).contains(minor))
}

/// What TLS itself says is wrong.
fn cause(why: &io::Error) -> Option<&Error> {
    why.get_ref().and_then(|inner| inner.downcast_ref())
}
