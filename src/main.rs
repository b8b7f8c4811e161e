//! The `fineprint` command.

fn main() -> fineprint::cli::Exit {
    fineprint::cli::main()
}
