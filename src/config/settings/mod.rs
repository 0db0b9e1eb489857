//! Every setting with its name, its default and its meaning.
//!
//! The flags, the environment variables and `docs/configuration.md` are generated from this table.

mod process;
mod rollout;
mod tokens;
mod transport;

use super::setting::Setting;

const PARTS: [&[Setting]; 4] =
    [tokens::TOKENS, rollout::ROLLOUT, transport::TRANSPORT, process::PROCESS];

/// Every setting, in the order of `docs/configuration.md`.
pub const SETTINGS: &[Setting] = &join::<{ count() }>();

const fn count() -> usize {
    let (mut part, mut count) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
}

const fn join<const COUNT: usize>() -> [Setting; COUNT] {
    let mut joined = [PARTS[0][0]; COUNT];
    let (mut part, mut next) = (0, 0);
    while part < PARTS.len() {
        let mut at = 0;
        while at < PARTS[part].len() {
            joined[next] = PARTS[part][at];
            (next, at) = (next + 1, at + 1);
        }
        part += 1;
    }
    joined
}
