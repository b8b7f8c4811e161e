//! The server, over real sockets: the built command on a port of its own.

/// Who may call.
mod callers;
/// Bytes out, bytes in.
mod client;
/// Wrong configurations.
mod config;
/// Decisions.
mod decide;
/// Beginning and end.
mod life;
/// What is refused, and how.
mod refusals;
/// Starting the command.
mod server;
