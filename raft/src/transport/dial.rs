//! Opening a connection to a peer: the wire, TLS where there is any, then the handshake.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::time::timeout;

use super::frame::{self, Kind};
use super::message::{Channel, Hello};
use super::tls::Ends;
use super::wire::{ReadEnd, WriteEnd};
use super::{Local, Remote, handshake};

/// Connecting and shaking hands take no longer.
const DIAL: Duration = Duration::from_millis(700);

/// What a read takes from the kernel at once, in bytes.
pub(crate) const READ_BUFFER: usize = 64 << 10;

/// A connection whose handshake is done.
pub(crate) struct Connection {
    pub(crate) reader: BufReader<ReadEnd>,
    pub(crate) writer: WriteEnd,
}

impl Connection {
    /// Buffered reading and direct writing, for frames are written whole.
    pub(crate) fn of((reader, writer): Ends) -> Connection {
        Connection { reader: BufReader::with_capacity(READ_BUFFER, reader), writer }
    }
}

/// Dials a peer; answers which start of it has answered as well.
pub(crate) async fn dial(local: &Arc<Local>, to: u64, channel: Channel) -> io::Result<(Remote, Connection)> {
    dial_with(local, handshake::hello(local, to, channel)).await
}

/// The same with these words.
pub(crate) async fn dial_with(local: &Arc<Local>, hello: Hello) -> io::Result<(Remote, Connection)> {
    let to = hello.to;
    let unknown = || io::Error::other(format!("node {to} is not a member"));
    let via = || local.options.tuning.via.get(&to).cloned();
    let address = via().or_else(|| local.roster.address(to)).ok_or_else(unknown)?;
    let dialling = async {
        let mut connection = Connection::of(reach(local, to, &address).await?);
        let remote = shake(local, &hello, &mut connection).await?;
        Ok((remote, connection))
    };
    let dialled = timeout(DIAL, dialling).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    dialled.inspect_err(|why| {
        local.strangers.note_dialled(to, why);
        local.roster.note_failure(to);
    })
}

async fn reach(local: &Local, to: u64, address: &str) -> io::Result<Ends> {
    let ends = local.wire.dial(address).await?;
    match &local.tls {
        Some(tls) => tls.dial(to, ends).await,
        None => Ok(ends),
    }
}

async fn shake(local: &Arc<Local>, hello: &Hello, connection: &mut Connection) -> io::Result<Remote> {
    let bytes = frame::seal_message(Kind::Hello, 0, local.sender(), hello)?;
    frame::write(&mut connection.writer, &bytes).await?;
    let answer = frame::read(&mut connection.reader).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let (remote, build) = handshake::check(local, hello.to, answer.message(Kind::Greeting)?).await?;
    local.meet(&remote, &answer, build)?;
    Ok(remote)
}
