//! Connections: accepted, bounded, and drained when the process is to stop.
//!
//! hyper's own loop is used, and not axum's, for what axum's does not offer: a bound on connections, a deadline and a
//! bound for a request's head, a drain that waits no longer than it may, problem documents for heads that cannot be
//! read, refusals that arrive though nobody read the body, and an end for those who do not take their answer.

mod alarm;
mod lane;
mod plain;
mod refusal;
mod rewound;
mod seats;
mod secure;
mod taken;
mod unread;

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub(super) use self::alarm::Alarm;
use self::lane::{Lane, Left};
pub(super) use self::plain::Plain;
use self::refusal::Refusing;
use self::rewound::Rewound;
use self::seats::Seats;
pub(super) use self::seats::{Connections, Crowded};
pub(crate) use self::secure::Door;
use self::taken::Taken;
use self::unread::Unread;
use super::limits::{
    CROWDED_HEAD_TIME_MAX, DRAIN_TIME_MAX, HANDSHAKE_TIME_MAX, HEAD_BYTES_MAX, HEAD_TIME_MAX,
    UNTAKEN_BYTES_MAX,
};
use super::{Service, Store};

/// How long to wait after the system refused to accept, for want of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens at an address of the cluster file.
pub(crate) async fn bind(address: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    // Every connection has it from here. Where it cannot be set, slow readers only cost more.
    let _ = SockRef::from(&listener).set_send_buffer_size(UNTAKEN_BYTES_MAX);
    Ok(listener)
}

/// Serves until `stop` resolves, then finishes what is in flight, for at most [`DRAIN_TIME_MAX`].
///
/// Idle connections are closed at once. Dropping the future stops accepting, but not what is in flight.
pub(crate) async fn serve<S: Store>(
    door: impl Into<Door>,
    service: Service<S>,
    stop: impl Future<Output = ()>,
) {
    let seats = Seats::new(Arc::clone(&service.connections));
    serve_seated(door.into(), service, seats, stop).await;
}

/// The same with these seats.
async fn serve_seated<S: Store>(
    door: Door,
    service: Service<S>,
    seats: Seats,
    stop: impl Future<Output = ()>,
) {
    let drain = GracefulShutdown::new();
    let stopping = watch::Sender::new(false);
    let (mut stop, connections) = (pin!(stop), Arc::clone(&service.connections));
    loop {
        let stream = tokio::select! {
            stream = accept(&door.listener) => stream,
            () = &mut stop => break,
        };
        let Some(seat) = seats.take() else { continue };
        // It may be another runtime that waits for its socket from here on.
        let Ok(stream) = stream.into_std() else { continue };
        let service = service.clone().seated(seat.is_crowded);
        let (acceptor, stopping) = (door.acceptor(), stopping.subscribe());
        let (watcher, connections) = (drain.watcher(), Arc::clone(&connections));
        door.runtime(connections.open()).spawn(async move {
            let served =
                async { secured(acceptor, TcpStream::from_std(stream)?, service, stopping, watcher).await };
            // What goes wrong here went wrong for that client alone, and it knows.
            if let Err(error) = served.await {
                connections.ended(&*error);
                tracing::debug!(%error, "connection ended");
            }
            drop(seat);
        });
    }
    drop(door);
    stopping.send_replace(true);
    if timeout(DRAIN_TIME_MAX, drain.shutdown()).await.is_err() {
        tracing::warn!("calls were still in flight when the time to finish them was over");
    }
}

/// Serves one connection to its end, once it speaks TLS where it has to.
async fn secured<S: Store>(
    acceptor: Option<TlsAcceptor>,
    stream: TcpStream,
    service: Service<S>,
    stopping: watch::Receiver<bool>,
    watcher: Watcher,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Some(acceptor) = acceptor else {
        return connection(stream, service, stopping, watcher).await;
    };
    let time_max = if service.is_crowded { CROWDED_HEAD_TIME_MAX } else { HANDSHAKE_TIME_MAX };
    // On the heap: a connection without TLS takes no room for what TLS keeps.
    let shaken = Box::pin(async move {
        tokio::select! {
            shaken = secure::shake(acceptor, stream, time_max) => shaken.map(|shaken| (shaken, stopping)),
            // Nothing was asked yet.
            () = stopped(stopping.clone()) => Ok((None, stopping)),
        }
    });
    let shaken = shaken.await.map_err(|error| service.connections.shaken_late(error))?;
    match shaken {
        (Some(stream), stopping) => Box::pin(connection(stream, service, stopping, watcher)).await,
        (None, _) => Ok(()),
    }
}

/// Serves one connection to its end: in the fast lane for as long as all that comes is plain, and then by hyper. The
/// drain waits for who has a `watcher`.
async fn connection<S: Store, C: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: C,
    service: Service<S>,
    stopping: watch::Receiver<bool>,
    watcher: Watcher,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut stream, mut read) = (Taken::new(stream), Vec::new());
    if let Some(api) = &service.api {
        match Lane::new(api, stream, stopping.clone()).run().await? {
            Left::Ended => return Ok(()),
            Left::Other(left, unanswered) => (stream, read) = (left, unanswered),
        }
    }
    let (router, unread) = (TowerToHyperService::new(service.router), Unread::default());
    let stream = TokioIo::new(Refusing::new(Rewound::new(stream, read), unread.clone()));
    let mut http = http1();
    if service.is_crowded {
        http.keep_alive(false).header_read_timeout(CROWDED_HEAD_TIME_MAX);
    }
    let answer = move |mut request: Request<Incoming>| {
        if service.is_crowded {
            request.extensions_mut().insert(Crowded);
        }
        let (request, large) = unread.watch(request);
        let (answer, unread) = (router.call(request), unread.clone());
        async move {
            let mut answer = answer.await?;
            unread.tell(&mut answer, large);
            Ok::<_, Infallible>(answer)
        }
    };
    let mut connection = pin!(http.serve_connection(stream, service_fn(answer)));
    tokio::select! {
        // First of all it sees what the lane has read: a connection of which it had seen nothing, it would end at once.
        biased;
        ended = connection.as_mut() => return Ok(ended?),
        () = stopped(stopping) => connection.as_mut().graceful_shutdown(),
    }
    let ended = connection.await;
    drop(watcher);
    Ok(ended?)
}

/// Resolves when the process is to stop.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // The sender's end means the same.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn http1() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    // The second bounds what is kept of a head that does not end; the first is exact where it does.
    http1.max_header_size(HEAD_BYTES_MAX).max_buf_size(HEAD_BYTES_MAX);
    http1
}

/// The next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A small answer must not wait for more to send. Where it cannot be set, it is only slower.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
