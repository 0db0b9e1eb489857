//! A token to be judged, and what its verdict depends on.

use super::events::TokenEvents;
use crate::clock::Timestamp;

/// A token to be judged.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) token: &'a str,
    /// The required audience. `None`: any.
    pub(super) audience: Option<&'a str>,
    pub(super) now: Timestamp,
    /// Receives the events of the validation.
    pub(super) events: &'a dyn TokenEvents,
}
