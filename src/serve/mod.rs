//! The server: decisions, ingest and the log over HTTP and gRPC.
