//! The life of the server: ports, state, readiness, and the end in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::clock;
use super::config::{Config, ConfigError};
use super::listen::{Connections, Port, Protocol, accept};
use super::opening::{self, Opening};
use super::reload::{self, Files};
use super::routes;
use super::secret::{LogSecret, SecretError, instance};
use super::state::{App, Phase};
use super::summary::Summary;
use super::timer;
use super::tls;
use crate::alert::Channels;
use crate::gateway::{self, Edge};
use crate::pack::Pack;
use crate::publish::Publisher;
use crate::runtime::SinkError;
use crate::runtime::live::LiveError;
use crate::runtime::stop_on_signal;
use crate::store::StoreError;

/// How often is looked whether a signal has come.
const SIGNAL_EVERY: Duration = Duration::from_millis(20);

/// What is told while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The ports are open; decisions are not given yet.
    Listening {
        /// Where HTTP is answered.
        http: SocketAddr,
        /// Where gRPC is answered.
        grpc: Option<SocketAddr>,
    },
    /// Decisions are given.
    Ready {
        /// Rules in force.
        rules: usize,
    },
}

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port cannot be opened.
    #[error(
        "cannot listen on {address}: {source}\nhelp: write another `--listen ADDRESS:PORT`; port 0 takes any that is free"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The secret of the log cannot be read or made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The log cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log cannot be opened, or belongs to something else.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The session cannot go on from the log and its journal.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// The machine gives no thread or no signal.
    #[error("the server cannot run: {0}")]
    Io(#[from] std::io::Error),
}

/// What a server starts with: its configuration and rules that are ready to run.
#[derive(Debug)]
pub struct Start {
    /// How it runs, checked.
    pub config: Config,
    /// The rules.
    pub pack: Pack,
    /// Where the rules came from, to be read again.
    pub files: Files,
    /// Where alerts go.
    pub channels: Channels,
    /// Brings checkpoints of the log to the places of the configuration.
    pub publisher: Publisher,
    /// The violation log.
    pub db: PathBuf,
}

impl Start {
    /// Whether it could start, without opening a port or the log.
    ///
    /// # Errors
    /// What of the configuration cannot be used.
    pub fn check(&self) -> Result<(), ServeError> {
        self.config.check()?;
        if let Some(named) = &self.config.tls {
            tls::acceptor(named, !self.config.keys.is_empty(), &[])?;
        }
        Ok(())
    }
}

/// Runs until a signal comes, and ends in order.
///
/// # Errors
/// Where it cannot start, and where the last commit could not be made. Once it runs nothing ends it but a signal.
pub fn serve(start: Start, tell: &mut dyn FnMut(&Told)) -> Result<Summary, ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("serve").build()?;
    let done = runtime.block_on(run(start, tell));
    // What did not end in time is cut off.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

async fn run(start: Start, tell: &mut dyn FnMut(&Told)) -> Result<Summary, ServeError> {
    start.check()?;
    let Start { config, pack, files, channels, publisher, db } = start;
    let stop = stop_on_signal()?;
    let secret = LogSecret::open(&db)?;
    let ids = gateway::Secret::new(secret.of("ids of keys"));
    let edge = Arc::new(Edge::new(config.gateways.clone(), ids, instance()?, clock::now));
    let app = App::new(config);
    let connections = Connections::new(&app);
    let (end, ending) = watch::channel(false);
    let (http, grpc) = open_ports(&app, &edge, &connections, &ending).await?;
    tell(&Told::Listening { http, grpc });
    let opening = Opening { app: app.clone(), pack, files: files.clone(), channels, publisher, db, secret };
    let opened = tokio::task::spawn_blocking(move || opening::open(opening));
    let opened = opened.await.map_err(std::io::Error::other)??;
    let rules = app.engine_at_end().map_or(0, |e| e.in_force.load().rules.program().rules.len());
    app.set_reloader(reload::start(app.clone(), files)?);
    tell(&Told::Ready { rules });
    let timer = tokio::spawn(timer::run(app.clone()));
    reload_on_signal(app.clone())?;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(SIGNAL_EVERY).await;
    }
    tracing::info!("asked to end");
    app.end(Phase::Ending);
    tokio::time::sleep(app.config.limits.drain_delay.std()).await;
    let _ = end.send(true);
    let drained = tokio::time::timeout(app.config.limits.drain_time.std(), connections.wait()).await.is_ok();
    app.end(Phase::Closed);
    timer.abort();
    let closing = app.clone();
    let closed = tokio::task::spawn_blocking(move || opening::close(&closing, opened));
    let closed = closed.await.map_err(std::io::Error::other)?;
    let summary = Summary::of(&app, drained);
    closed.map(|()| summary)
}

/// SIGHUP reads rules, lists and registry again, as daemons do.
#[cfg(unix)]
fn reload_on_signal(app: App) -> std::io::Result<()> {
    let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            if let Some(reloader) = app.reloader() {
                // What came of it is told where every reload is.
                let _ = reloader.ask().await;
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn reload_on_signal(_: App) -> std::io::Result<()> {
    Ok(())
}

async fn open_ports(
    app: &App,
    edge: &Arc<Edge>,
    connections: &Connections,
    ending: &watch::Receiver<bool>,
) -> Result<(SocketAddr, Option<SocketAddr>), ServeError> {
    let router = routes::router(app, edge);
    let http = open_port(app, app.config.listen, Protocol::Http, router, connections, ending).await?;
    let grpc = match app.config.grpc_listen {
        None => None,
        Some(address) => {
            let router = routes::grpc(app, edge);
            Some(open_port(app, address, Protocol::Grpc, router, connections, ending).await?)
        }
    };
    Ok((http, grpc))
}

async fn open_port(
    app: &App,
    address: SocketAddr,
    protocol: Protocol,
    router: axum::Router,
    connections: &Connections,
    ending: &watch::Receiver<bool>,
) -> Result<SocketAddr, ServeError> {
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let real = listener.local_addr()?;
    let protocols: &[&[u8]] = if protocol == Protocol::Http { &[b"http/1.1"] } else { &[b"h2"] };
    let tls = match &app.config.tls {
        None => None,
        Some(named) => Some(tls::acceptor(named, !app.config.keys.is_empty(), protocols)?),
    };
    let port = Port { listener, protocol, tls, router };
    tokio::spawn(accept(app.clone(), port, connections.clone(), ending.clone()));
    Ok(real)
}
