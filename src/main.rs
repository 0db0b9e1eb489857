//! The token authority.
fn main() {}
