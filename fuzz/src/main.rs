//! Runs one of the service's fuzz targets, which the environment names: see `scripts/fuzz`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use token_authority::fuzz::{Target, target};

/// The target of this process.
static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET names no target: {name}"))
});

fuzz_target!(|data: &[u8]| TARGET(data));
