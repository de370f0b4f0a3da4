//! What carries the frames: TCP, or what a simulation makes of it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// What waits for the network.
pub type Carried<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// The reading end of a connection.
pub type ReadEnd = Box<dyn AsyncRead + Send + Unpin>;

/// The writing end. Dropping it ends the stream.
pub type WriteEnd = Box<dyn AsyncWrite + Send + Unpin>;

/// Connections between nodes.
pub trait Wire: Send + Sync + 'static {
    /// Listens on an address.
    fn listen<'a>(&'a self, address: &'a str) -> Carried<'a, Box<dyn Listening>>;

    /// Connects to an address.
    fn dial<'a>(&'a self, address: &'a str) -> Carried<'a, (ReadEnd, WriteEnd)>;
}

/// An address that is listened on, until this is dropped.
pub trait Listening: Send {
    /// The next connection.
    fn accept(&mut self) -> Carried<'_, (ReadEnd, WriteEnd)>;
}

/// This machine's network.
pub(crate) struct Tcp;

impl Wire for Tcp {
    fn listen<'a>(&'a self, address: &'a str) -> Carried<'a, Box<dyn Listening>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(listener) as Box<dyn Listening>)
        })
    }

    fn dial<'a>(&'a self, address: &'a str) -> Carried<'a, (ReadEnd, WriteEnd)> {
        Box::pin(async move { split(TcpStream::connect(address).await?) })
    }
}

impl Listening for TcpListener {
    fn accept(&mut self) -> Carried<'_, (ReadEnd, WriteEnd)> {
        Box::pin(async move {
            loop {
                let (socket, _) = TcpListener::accept(self).await?;
                match split(socket) {
                    Ok(ends) => return Ok(ends),
                    Err(e) => tracing::debug!("a peer's connection ended: {e}"),
                }
            }
        })
    }
}

fn split(socket: TcpStream) -> io::Result<(ReadEnd, WriteEnd)> {
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_keepalive(&keepalive())?;
    let (reader, writer) = socket.into_split();
    Ok((Box::new(reader), Box::new(writer)))
}

/// A peer whose machine is gone says no goodbye: without this, what only reads would wait for it for ever.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5))
        .with_retries(3)
}
