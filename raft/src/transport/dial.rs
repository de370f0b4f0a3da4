//! Opening a connection to a peer: TCP, then the handshake.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use storage::LEAVE_STOPPED;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::frame::{self, Kind};
use super::message::{Channel, Greeting, Hello};
use super::{GROUP, Local};

/// Connecting and shaking hands take no longer.
const DIAL: Duration = Duration::from_millis(700);

/// What a read takes from the kernel at once, in bytes.
pub(crate) const READ_BUFFER: usize = 64 << 10;

/// A connection whose handshake is done.
pub(crate) struct Connection {
    pub(crate) reader: BufReader<OwnedReadHalf>,
    pub(crate) writer: OwnedWriteHalf,
}

/// Splits a socket into buffered reading and direct writing, for frames are written whole.
pub(crate) fn split(socket: TcpStream) -> io::Result<Connection> {
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_keepalive(&keepalive())?;
    let (reader, writer) = socket.into_split();
    Ok(Connection { reader: BufReader::with_capacity(READ_BUFFER, reader), writer })
}

/// A peer whose machine is gone says no goodbye: without this, what only reads would wait for it for ever.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5))
        .with_retries(3)
}

/// Dials a peer.
pub(crate) async fn dial(local: &Arc<Local>, to: u64, channel: Channel) -> io::Result<Connection> {
    let member =
        local.member(to).ok_or_else(|| io::Error::other(format!("node {to} is not in the cluster file")))?;
    let dialling = async {
        let mut connection = split(TcpStream::connect(&member.raft).await?)?;
        shake(local, to, channel, &mut connection).await?;
        Ok(connection)
    };
    timeout(DIAL, dialling).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn shake(local: &Local, to: u64, channel: Channel, connection: &mut Connection) -> io::Result<()> {
    let hello = Hello {
        group: GROUP,
        cluster_name: local.options.cluster_name.clone(),
        cluster_id: local.cluster_id(),
        from: local.options.node_id,
        to,
        store_id: local.store_id,
        channel,
    };
    let bytes = frame::seal_message(Kind::Hello, 0, local.clock.wall_ms(), &hello)?;
    frame::write(&mut connection.writer, &bytes).await?;
    let answer = frame::read(&mut connection.reader).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    match answer.message(Kind::Greeting)? {
        Greeting::Refused(why) => Err(io::Error::other(format!("node {to} refuses this node: {why}"))),
        Greeting::StoreLost => {
            let directory = local.options.data_dir.display();
            local.fatal.report(format!(
                "{directory}: node {to} knows this node by another data directory; put that one back, or {LEAVE_STOPPED}"
            ));
            Err(io::Error::other(format!("node {to} knows this node by another data directory")))
        }
        Greeting::Welcome { store_id, cluster_id } => {
            check_welcome(local, to, store_id, cluster_id)?;
            local.hear(to, answer.wall_ms);
            Ok(())
        }
    }
}

/// The dialler checks the answerer as the answerer checked the dialler.
fn check_welcome(local: &Local, to: u64, store_id: u128, cluster_id: Option<u128>) -> io::Result<()> {
    if let (Some(ours), Some(theirs)) = (local.cluster_id(), cluster_id)
        && ours != theirs
    {
        return Err(io::Error::other(format!("node {to} belongs to another cluster of the same name")));
    }
    match local.known_store(to) {
        Some(known) if known != store_id => Err(io::Error::other(format!(
            "node {to} answers from another data directory than the one it joined with"
        ))),
        _ => Ok(()),
    }
}
