//! The server, over real sockets: the built command on a port of its own.
#![allow(clippy::disallowed_methods, reason = "how long a test waits at most, and events of now")]

/// Channels.
mod alerts;
/// Who may call.
mod callers;
/// Bytes out, bytes in.
mod client;
/// Wrong configurations.
mod config;
/// Decisions.
mod decide;
/// gRPC over TLS.
mod grpc;
/// Disks that are full, and a log that is locked.
mod disk;
/// Records in all forms.
mod ingest;
/// Beginning and end.
mod life;
/// Findings, actions, decisions that were given, gaps.
mod log;
/// What is told of the server itself.
mod metrics;
/// The document against the server.
mod openapi;
/// Secrets that must not come back.
mod privacy;
/// What is refused, and how.
mod refusals;
/// Rules that change.
mod reload;
/// Kills.
mod restart;
/// Starting the command.
mod server;
/// Certificates of clients.
mod tls;
