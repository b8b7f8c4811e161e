//! The `fineprint` command.

/// Batches are filled on one thread and emptied on another, and commits are written beside the run: the system's allocator kept
/// a quarter more of the memory and took a fifth longer over 5,000,000 events (docs/performance.md). Its settings stand in
/// `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> fineprint::cli::Exit {
    fineprint::cli::main()
}
