//! The fuzz targets: one function for each parser that an outsider reaches. `fuzz/` runs them under a
//! fuzzer, and a test here runs them over the committed corpus. Releases do not contain them.
//!
//! A target panics if its input breaks a property, and not only if the parser itself panics.

mod devices;
mod tokens;

use crate::transport::callers::fuzz as callers;
use crate::transport::grpc::fuzz as grpc;
use crate::transport::http::fuzz as http;
use crate::transport::limits::fuzz as limits;
use crate::transport::serve::fuzz as serve;

/// A fuzz target. It panics if the input breaks one of its properties.
pub type Target = fn(&[u8]);

/// All targets by their names. Each has a folder of that name in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 15] = [
    ("jws", tokens::jws),
    ("claims", grpc::claims),
    ("refresh_token", tokens::refresh_token),
    ("session_token", tokens::session_token),
    ("legacy_token", tokens::legacy_token),
    ("device_proof", devices::device_proof),
    ("cookie", http::cookie),
    ("origin", http::origin),
    ("form", http::form),
    ("authorization", callers::authorization),
    ("forwarded", limits::forwarded),
    ("message", grpc::message),
    ("grpc_frames", grpc::frames),
    ("http2_frames", serve::frames),
    ("certificate", serve::certificate),
];

/// Returns the target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn no_input_of_the_corpus_breaks_a_property() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let mut folders = BTreeSet::new();
        for folder in fs::read_dir(&corpus).unwrap() {
            let folder = folder.unwrap();
            let name = folder.file_name().into_string().unwrap();
            let run = target(&name).unwrap_or_else(|| panic!("{name} is no target"));
            for file in fs::read_dir(folder.path()).unwrap() {
                let file = file.unwrap().path();
                let input = fs::read(&file).unwrap();
                // The parsers also meet every beginning of an input.
                for length in (0..=input.len()).rev().take(200) {
                    let ran = std::panic::catch_unwind(|| run(&input[..length]));
                    assert!(ran.is_ok(), "{}, the first {length} bytes", file.display());
                }
            }
            folders.insert(name);
        }
        let named = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(folders, named, "every target has inputs");
    }
}
