//! Streams in, records out: reads inputs, runs the evaluator over them, and commits what it found together with how far it
//! read, so that a run that is killed at any point goes on as if nothing had happened. Knows no terminal.

mod checkpoint;
pub mod erase;
mod input;
pub mod live;
mod pipeline;
mod pieces;
mod reading;
mod rejects;
mod run;
mod running;
mod session;
mod signal;
mod sink;
mod slice;
mod under_way;

pub use checkpoint::CheckpointOptions;
pub use input::{InputError, InputSpec, expand};
pub use rejects::{RejectFile, Rejected};
pub use run::{Ending, Outputs, Progress, RunError, RunOptions, Summary, run};
pub use session::RunBooks;
pub use signal::stop_on_signal;
pub use sink::{Commit, Consumed, MemorySink, Resumed, Sink, SinkError, SqliteSink, Standing};
pub use slice::{CANDIDATES_MAX, NoSlice, Slicer};

/// The name of standard input among the inputs.
pub const STDIN: &str = "-";
