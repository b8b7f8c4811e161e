//! Connections: accepted as long as there is room, each with bounds on its time, and ended in order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::keys::Peer;
use super::patient::Patient;
use super::state::App;
use super::tls;

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Connections that are told at a time that there are too many; more are closed without a word.
const TOLD_MAX: usize = 64;

/// How long is waited after an accept that failed, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is said to a connection for which there is no room.
const NO_ROOM: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n",
    "content-length: 167\r\n\r\n",
    "{\"error\":{\"code\":\"overloaded\",\"message\":\"`limits.connections` connections are open already\",",
    "\"help\":\"come again after `Retry-After`, or raise it in the configuration\"}}"
);

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

/// One port.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) router: Router,
}

/// All open connections of all ports.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    room: Arc<Semaphore>,
    told: Arc<Semaphore>,
    open: Arc<AtomicU64>,
    closed: Arc<Notify>,
}

impl Connections {
    pub(crate) fn new(app: &App) -> Self {
        let most = usize::try_from(app.config.limits.connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Connections {
            room: Arc::new(Semaphore::new(most)),
            told: Arc::new(Semaphore::new(TOLD_MAX)),
            open: Arc::default(),
            closed: Arc::default(),
        }
    }

    /// Waits until the last one is closed.
    pub(crate) async fn wait(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            closed.await;
        }
    }
}

/// A connection that counts as open until it is dropped.
struct Open {
    connections: Connections,
    app: App,
    _room: tokio::sync::OwnedSemaphorePermit,
}

impl Open {
    fn new(connections: &Connections, app: &App, room: tokio::sync::OwnedSemaphorePermit) -> Open {
        connections.open.fetch_add(1, Ordering::SeqCst);
        app.metrics.connections.inc();
        Open { connections: connections.clone(), app: app.clone(), _room: room }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics.connections.dec();
        self.connections.open.fetch_sub(1, Ordering::SeqCst);
        self.connections.closed.notify_waiters();
    }
}

/// Accepts until `ending` says so. Connections that are open then are left to themselves, and end after the request under way.
pub(crate) async fn accept(app: App, port: Port, connections: Connections, mut ending: watch::Receiver<bool>) {
    let Port { listener, protocol, tls, router } = port;
    loop {
        let accepted = tokio::select! {
            _ = ending.wait_for(|e| *e) => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(room) = Arc::clone(&connections.room).try_acquire_owned() else {
            app.metrics.connections_refused.inc();
            if tls.is_none() && protocol == Protocol::Http {
                refuse(stream, &connections);
            }
            continue;
        };
        let open = Open::new(&connections, &app, room);
        tokio::spawn(connection(open, stream, peer, protocol, tls.clone(), router.clone(), ending.clone()));
    }
}

/// Says why, and waits a little for what the client still sends: a connection that is closed before is reset, and the answer lost.
fn refuse(mut stream: TcpStream, connections: &Connections) {
    let Ok(place) = Arc::clone(&connections.told).try_acquire_owned() else { return };
    tokio::spawn(async move {
        let _place = place;
        let _ = tokio::time::timeout(Duration::from_millis(500), async {
            stream.write_all(NO_ROOM.as_bytes()).await?;
            stream.shutdown().await?;
            let mut nowhere = [0u8; 1024];
            while stream.read(&mut nowhere).await? > 0 {}
            std::io::Result::Ok(())
        })
        .await;
    });
}

async fn connection(
    open: Open,
    stream: TcpStream,
    from: SocketAddr,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    router: Router,
    ending: watch::Receiver<bool>,
) {
    // Answers are small: they are not held back to be sent with more.
    let _ = stream.set_nodelay(true);
    let limits = open.app.config.limits;
    let served = match tls {
        None => {
            let stream = Patient::new(stream, limits.write_time.std());
            speak(&open.app, stream, Peer { certificate: None }, protocol, router, ending).await
        }
        Some(tls) => {
            let greeted = tokio::time::timeout(limits.header_time.std(), tls.accept(stream)).await;
            let Ok(Ok(stream)) = greeted else {
                tracing::debug!(%from, "no handshake");
                return;
            };
            let peer = Peer { certificate: tls::certificate(stream.get_ref().1) };
            let stream = Patient::new(stream, limits.write_time.std());
            speak(&open.app, stream, peer, protocol, router, ending).await
        }
    };
    if let Err(e) = served {
        tracing::debug!(%from, error = %e, "a connection ended early");
    }
}

async fn speak<S>(
    app: &App,
    stream: S,
    peer: Peer,
    protocol: Protocol,
    router: Router,
    mut ending: watch::Receiver<bool>,
) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let answered: Result<Response<Body>, Infallible> = router.call(request).await;
            answered
        }
    });
    let header_time = app.config.limits.header_time.std();
    let stream = TokioIo::new(stream);
    match protocol {
        Protocol::Http => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(header_time).max_buf_size(HEAD_BYTES_MAX);
            let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
            tokio::select! {
                done = connection.as_mut() => return done,
                _ = ending.wait_for(|e| *e) => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
        Protocol::Grpc => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).keep_alive_interval(header_time).keep_alive_timeout(header_time);
            let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
            tokio::select! {
                done = connection.as_mut() => return done,
                _ = ending.wait_for(|e| *e) => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NO_ROOM;

    #[test]
    fn what_is_said_to_a_connection_without_room_is_as_long_as_it_says() {
        let (head, body) = NO_ROOM.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{} bytes", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
