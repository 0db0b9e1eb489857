//! Figures that a test has measured.

use std::io::Write as _;

/// Prints a figure, whether the test passes or fails. `println!` shows it for failed tests only.
pub fn measured(line: &str) {
    std::io::stderr().write_all(format!("measured: {line}\n").as_bytes()).unwrap();
}
