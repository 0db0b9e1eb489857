//! The binary, which only calls the library's command line.

/// Requests allocate and free many small objects on many threads, for which mimalloc is faster than
/// the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    token_authority::cli::main()
}
