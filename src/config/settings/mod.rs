//! Every setting with its name, its default and its meaning.
//!
//! The flags, the environment variables and `docs/configuration.md` are generated from this table.

mod process;
mod rollout;
mod tokens;
mod transport;

use std::sync::LazyLock;

use super::setting::Setting;

/// Every setting, in the order of `docs/configuration.md`.
pub static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    [tokens::TOKENS, rollout::ROLLOUT, transport::TRANSPORT, process::PROCESS].concat()
});
