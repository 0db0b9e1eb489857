//! Secrets that must not be found. The search finds any twelve consecutive characters of them.

use std::collections::HashMap;
use std::fmt::Write as _;

/// This many equal characters in a row are not a coincidence.
const WINDOW: usize = 12;

/// Bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// Secrets to search for, in every form in which they could have been written.
#[derive(Debug, Default)]
pub(crate) struct Needles {
    windows: HashMap<Vec<u8>, &'static str>,
}

impl Needles {
    /// Adds a secret.
    pub(crate) fn add(&mut self, what: &'static str, secret: &str) {
        let bytes = secret.as_bytes();
        assert!(bytes.len() >= WINDOW, "{what} is too short to look for");
        // As text, as hex digits, and as a list of bytes in Rust's format.
        let hex = hex(bytes);
        for form in [bytes, hex.as_bytes()] {
            for window in form.windows(WINDOW) {
                self.windows.insert(window.to_vec(), what);
            }
        }
        for few in bytes.windows(6) {
            let list = format!("{few:?}");
            // A list is found by its inner part, because its beginning may differ.
            let list = &list.as_bytes()[1..list.len() - 1];
            self.windows.insert(list[..WINDOW].to_vec(), what);
        }
    }

    /// Returns the name of a secret that was found.
    pub(crate) fn find(&self, haystack: &[u8]) -> Option<&'static str> {
        haystack.windows(WINDOW).find_map(|window| self.windows.get(window)).copied()
    }

    /// Checks that none of them occurs.
    ///
    /// # Panics
    ///
    /// Panics if one occurs.
    pub(crate) fn are_not_in(&self, place: &str, haystack: &[u8]) {
        assert!(haystack.len() > WINDOW, "nothing was written to {place}");
        let lines = haystack.split(|byte| *byte == b'\n');
        let found = lines.filter_map(|line| Some((self.find(line)?, line)));
        let told: Vec<String> = found
            .take(10)
            .map(|(what, line)| {
                let line: String = String::from_utf8_lossy(line).chars().take(500).collect();
                format!("{what}: {line}")
            })
            .collect();
        assert!(told.is_empty(), "{place}:\n{}", told.join("\n"));
    }
}

#[test]
fn a_secret_is_found_in_each_form() {
    let mut needles = Needles::default();
    needles.add("it", "a-secret-of-some-length");
    for haystack in [
        "x=a-secret-of-s",
        "hex 612d7365637265742d6f662d",
        "bytes [45, 115, 101, 99, 114, 101, 116]",
    ] {
        assert!(needles.find(haystack.as_bytes()).is_some(), "{haystack}");
    }
    assert!(needles.find(b"a-secret-of").is_none(), "eleven may be a coincidence");
}
