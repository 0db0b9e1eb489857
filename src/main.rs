//! The binary. Everything else is in the library.

fn main() -> std::process::ExitCode {
    token_authority::cli::main()
}
