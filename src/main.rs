//! The binary. Everything else is in the library.

/// Requests make and free many small pieces from many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    token_authority::cli::main()
}
