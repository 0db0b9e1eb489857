//! The last things that happened to a client, to explain why it was logged out.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use token_authority::clock::Timestamp;

use crate::settings::START;

/// How many things are kept.
const KEPT: usize = 60;

/// The last things that happened to a client.
#[derive(Debug, Default)]
pub(super) struct Past(VecDeque<(Timestamp, &'static str, u64, u64)>);

impl Past {
    /// Notes what happened, with a number, and a token or nothing.
    pub(super) fn note(
        &mut self,
        at: Timestamp,
        what: &'static str,
        number: u64,
        token: impl Hash,
    ) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        let mut hasher = DefaultHasher::new();
        token.hash(&mut hasher);
        self.0.push_back((at, what, number, hasher.finish() & 0xffff));
    }

    /// Tells it, one thing a line: seconds since the start, what, a number, and the token's mark.
    pub(super) fn tell(&self) -> String {
        let line = |(at, what, number, token): &(Timestamp, &str, u64, u64)| {
            format!("{:12.3} {what} {number} {token:04x}\n", at.since(START).as_secs_f64())
        };
        self.0.iter().map(line).collect()
    }
}
