//! What a test measured, told whether it fails or not.

use std::io::Write as _;

/// Tells a line. What passes through `println!` is shown of failed tests alone.
pub(crate) fn measured(line: &str) {
    std::io::stderr().write_all(format!("measured: {line}\n").as_bytes()).unwrap();
}
