//! The events in a session's history.

use super::grant::GrantField;
use super::id::{SessionId, UserId};
use super::session::RevocationReason;
use crate::clock::Timestamp;

/// The mark of an update after which earlier access tokens are refused.
const REFRESH_NOW: &str = "refresh_now";

/// Something that happened to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEvent {
    /// The session.
    pub session_id: SessionId,
    /// The session's user. `None`: the user was erased.
    pub user_id: Option<UserId>,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub what: Happened,
    /// The caller that asked for it. Empty: unknown, or nobody.
    pub actor: String,
}

/// What happened to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It began.
    Issued,
    /// A device was registered for it.
    Bound,
    /// Its tokens were refreshed. Only the last time is known.
    Refreshed,
    /// It ended.
    Revoked(RevocationReason),
    /// The contents of its access tokens were changed.
    Updated {
        /// What was changed.
        fields: Vec<GrantField>,
        /// Whether the access tokens that were issued before are refused since then.
        refresh_now: bool,
    },
}

/// The kind of an event. Of two events at the same time, the order of the kinds decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// See [`Happened::Bound`].
    Bound,
    /// See [`Happened::Issued`].
    Issued,
    /// See [`Happened::Refreshed`].
    Refreshed,
    /// See [`Happened::Revoked`].
    Revoked,
    /// See [`Happened::Updated`].
    Updated,
}

impl EventKind {
    /// All kinds, in the order of their names.
    pub const ALL: [Self; 5] =
        [Self::Bound, Self::Issued, Self::Refreshed, Self::Revoked, Self::Updated];

    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Issued => "issued",
            Self::Refreshed => "refreshed",
            Self::Revoked => "revoked",
            Self::Updated => "updated",
        }
    }

    /// Reads a name from the database.
    #[must_use]
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl Happened {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Bound => EventKind::Bound,
            Self::Issued => EventKind::Issued,
            Self::Refreshed => EventKind::Refreshed,
            Self::Revoked(_) => EventKind::Revoked,
            Self::Updated { .. } => EventKind::Updated,
        }
    }

    /// Returns the text that the database stores with the kind.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Bound | Self::Issued | Self::Refreshed => String::new(),
            Self::Revoked(reason) => reason.as_str().to_owned(),
            Self::Updated { fields, refresh_now } => {
                let fields = fields.iter().map(|field| field.as_str());
                fields.chain(refresh_now.then_some(REFRESH_NOW)).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Reads what the database stores. `None`: no version wrote that.
    #[must_use]
    pub fn from_stored(kind: EventKind, detail: &str) -> Option<Self> {
        Some(match kind {
            EventKind::Bound => Self::Bound,
            EventKind::Issued => Self::Issued,
            EventKind::Refreshed => Self::Refreshed,
            EventKind::Revoked => Self::Revoked(RevocationReason::from_stored(detail)?),
            EventKind::Updated => {
                let words: Vec<&str> = detail.split(' ').collect();
                let is_changed = |field: &GrantField| words.contains(&field.as_str());
                Self::Updated {
                    fields: GrantField::ALL.into_iter().filter(is_changed).collect(),
                    refresh_now: words.contains(&REFRESH_NOW),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let mut all = vec![Happened::Bound, Happened::Issued, Happened::Refreshed];
        all.extend(RevocationReason::ALL.map(Happened::Revoked));
        for refresh_now in [false, true] {
            for fields in [vec![], vec![GrantField::Scopes], GrantField::ALL.to_vec()] {
                all.push(Happened::Updated { fields, refresh_now });
            }
        }
        for what in all {
            let kind = EventKind::from_stored(what.kind().as_str()).unwrap();
            assert_eq!(Happened::from_stored(kind, &what.detail()), Some(what));
        }
        assert_eq!(EventKind::from_stored("dissolved"), None);
        assert_eq!(Happened::from_stored(EventKind::Revoked, "dissolved"), None);
    }

    #[test]
    fn kinds_are_in_the_order_of_their_names() {
        assert!(EventKind::ALL.is_sorted_by(|one, other| one < other));
        assert!(EventKind::ALL.is_sorted_by_key(|kind| kind.as_str()));
    }
}
