//! Where connections come in, and the TLS that they begin with.
//!
//! ```text
//!   accept --no TLS--> the lane, as ever
//!      \--TLS--> first byte --a letter: HTTP without TLS--> 400, told plainly, and the end
//!                     \--> handshake --within HANDSHAKE_TIME_MAX--> the lane, over TLS
//! ```
//!
//! A connection counts among the connections from the moment it is accepted, so that handshakes are bounded as well.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use client::api::PROBLEM_JSON;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::taken::Taken;
use crate::http::problem::invalid;
use crate::http::reply::to_json;
use crate::threads::ConnectionThreads;
use crate::tls::HttpTls;

/// How much of a call without TLS is read before it is told what is wrong.
const CALL_BYTES: usize = 16 * 1024;

/// An address that is listened on, with TLS or without, and who serves what comes in.
pub(crate) struct Door {
    pub(super) listener: TcpListener,
    tls: Option<Arc<HttpTls>>,
    threads: Option<Arc<ConnectionThreads>>,
}

impl Door {
    /// A listener whose connections speak TLS where there is any.
    pub(crate) fn new(listener: TcpListener, tls: Option<Arc<HttpTls>>) -> Door {
        Door { listener, tls, threads: None }
    }

    /// The same, whose connections are served by these threads, and not by those of the runtime that accepts them.
    pub(crate) fn served_by(self, threads: Arc<ConnectionThreads>) -> Door {
        Door { threads: Some(threads), ..self }
    }

    /// What listens.
    pub(crate) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// What the next connection has to be taken by, before it may speak.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.as_ref().map(|tls| tls.acceptor())
    }

    /// The runtime of a connection that comes in while so many are open, itself included.
    pub(super) fn runtime(&self, open: u64) -> Handle {
        self.threads.as_ref().map_or_else(Handle::current, |threads| threads.for_connection(open))
    }
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Door {
        Door::new(listener, None)
    }
}

/// Shakes hands, in that time at most. `None`: the connection came to its end, without TLS. Whoever takes none of what
/// is written below TLS is given up as without it.
pub(super) async fn shake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    time_max: Duration,
) -> io::Result<Option<TlsStream<Taken<TcpStream>>>> {
    let shaking = async {
        let mut first = [0];
        match stream.peek(&mut first).await? {
            0 => Ok(None),
            _ if first[0].is_ascii_uppercase() => tell(stream).await.map(|()| None),
            _ => acceptor.accept(Taken::new(stream)).await.map(Some),
        }
    };
    timeout(time_max, shaking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Tells a client that calls without TLS. What it has sent is read first: else its end would be a reset.
async fn tell(mut stream: TcpStream) -> io::Result<()> {
    let mut call = vec![0; CALL_BYTES];
    let _ = stream.read(&mut call).await?;
    let problem = invalid("scheme", "This address speaks TLS: call it by https://.");
    let body = to_json(problem.body());
    let length = body.len();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: {PROBLEM_JSON}\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.into_bytes(), body].concat()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::ServerConfig;
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::time::{Instant, pause};

    use super::*;
    use crate::http::limits::HANDSHAKE_TIME_MAX;

    fn acceptor() -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        TlsAcceptor::from(Arc::new(config.with_single_cert(vec![cert.der().clone()], key).unwrap()))
    }

    /// A connection: the client's end, and the server's.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn a_call_without_tls_is_told_so() {
        let (mut client, server) = connection().await;
        client.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let (mut told, shaken) = (String::new(), shake(acceptor(), server, HANDSHAKE_TIME_MAX).await);
        assert!(shaken.unwrap().is_none());
        client.read_to_string(&mut told).await.unwrap();
        assert!(told.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{told}");
        assert!(told.contains("\"code\":\"invalid_request\"") && told.contains("https://"), "{told}");
    }

    #[tokio::test]
    async fn what_is_neither_tls_nor_http_is_closed() {
        let (mut client, server) = connection().await;
        client.write_all(&[0; 100]).await.unwrap();
        assert!(shake(acceptor(), server, HANDSHAKE_TIME_MAX).await.is_err());
        let (client, server) = connection().await;
        drop(client);
        assert!(shake(acceptor(), server, HANDSHAKE_TIME_MAX).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_handshake_that_does_not_go_on_ends() {
        // Nothing at all; the head of a record; the first half of one.
        for begun in [&[][..], &[22, 3, 1], &[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]] {
            let (mut client, server) = connection().await;
            client.write_all(begun).await.unwrap();
            let began = Instant::now();
            pause();
            let shaken = shake(acceptor(), server, HANDSHAKE_TIME_MAX).await;
            assert_eq!(shaken.err().unwrap().kind(), io::ErrorKind::TimedOut, "{begun:?}");
            assert!(began.elapsed() >= HANDSHAKE_TIME_MAX, "{begun:?}");
            tokio::time::resume();
        }
    }
}
