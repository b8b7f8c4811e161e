//! The `fineprint` command.

/// Batches are filled on one thread and emptied on another, and commits are written beside the run; docs/decisions.md has what
/// the system's allocator made of that. Settings stand in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> fineprint::cli::Exit {
    fineprint::cli::main()
}
