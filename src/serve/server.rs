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
use super::engine::{Engine, InForce};
use super::listen::{Connections, Port, Protocol, accept};
use super::routes;
use super::secret::{LogSecret, SecretError, instance};
use super::state::{App, Phase};
use super::tls;
use crate::gate::GateOptions;
use crate::gateway::{self, Edge};
use crate::pack::Pack;
use crate::runtime::stop_on_signal;
use crate::store::{Access, Store, StoreError};

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

/// What it did, told at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Decisions by what took effect and what would have, the mildest first.
    pub decisions: Vec<(&'static str, &'static str, u64)>,
    /// Whether all connections ended in time; the others were cut off.
    pub drained: bool,
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
/// Where it cannot start. Once it runs nothing ends it but a signal.
pub fn serve(start: Start, tell: &mut dyn FnMut(&Told)) -> Result<Summary, ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("serve").build()?;
    let done = runtime.block_on(run(start, tell));
    // What did not end in time is cut off.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

async fn run(start: Start, tell: &mut dyn FnMut(&Told)) -> Result<Summary, ServeError> {
    let Start { config, pack, db } = start;
    let stop = stop_on_signal()?;
    let secret = LogSecret::open(&db)?;
    let ids = gateway::Secret::new(secret.of("ids of keys"));
    let edge = Arc::new(Edge::new(config.gateways.clone(), ids, instance()?, clock::now));
    let app = App::new(config);
    let connections = Connections::new(&app);
    let (end, ending) = watch::channel(false);
    let http = listen(app.config.listen).await?;
    let mut listening = (http.local_addr()?, None);
    let tls = acceptor(&app, &[b"http/1.1"])?;
    let port = Port { listener: http, protocol: Protocol::Http, tls, router: routes::router(&app, &edge) };
    tokio::spawn(accept(app.clone(), port, connections.clone(), ending.clone()));
    if let Some(address) = app.config.grpc_listen {
        let grpc = listen(address).await?;
        listening.1 = Some(grpc.local_addr()?);
        let tls = acceptor(&app, &[b"h2"])?;
        let port = Port { listener: grpc, protocol: Protocol::Grpc, tls, router: routes::grpc(&app, &edge) };
        tokio::spawn(accept(app.clone(), port, connections.clone(), ending));
    }
    let (http, grpc) = listening;
    tell(&Told::Listening { http, grpc });
    let own = Store::open(&db, Access::ReadWrite).await?;
    if let Some(rules) = pack.rules {
        let n_rules = rules.program().rules.len();
        app.metrics.rules.set(i64::try_from(n_rules).unwrap_or(i64::MAX));
        let log = Store::open(&db, Access::ReadOnly).await?;
        let gate = GateOptions { lateness: app.config.stream.lateness.0, ..GateOptions::default() };
        app.begin(Engine::new(InForce { rules, pins: pack.pins, since: clock::now() }, gate, log));
        tell(&Told::Ready { rules: n_rules });
    }
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(SIGNAL_EVERY).await;
    }
    app.end(Phase::Ending);
    tokio::time::sleep(app.config.limits.drain_delay.std()).await;
    let _ = end.send(true);
    let drained = tokio::time::timeout(app.config.limits.drain_time.std(), connections.wait()).await.is_ok();
    app.end(Phase::Closed);
    own.close().await?;
    Ok(Summary { decisions: app.metrics.decisions(), drained })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

fn acceptor(app: &App, protocols: &[&[u8]]) -> Result<Option<tokio_rustls::TlsAcceptor>, ServeError> {
    let Some(named) = &app.config.tls else { return Ok(None) };
    Ok(Some(tls::acceptor(named, !app.config.keys.is_empty(), protocols)?))
}
