//! Converts the columns of both databases to sessions, revocations and counts, and back.

use std::time::Duration;

use super::StoreError;
use super::figures::Census;
use super::rollouts::LiveSessions;
use super::rows::{Position, Recorded, Row};
use crate::clock::Timestamp;
use crate::token::client::ClientInfo;
use crate::token::device::{DeviceBinding, DeviceKey, Shown, Thumbprint};
use crate::token::event::{EventKind, Happened, SessionEvent};
use crate::token::id::{Epoch, Generation, SessionId, UserId};
use crate::token::key::Algorithm;
use crate::token::lifetimes::Lifetimes;
use crate::token::method::AuthMethod;
use crate::token::refresh::{LineageKey, TokenHash};
use crate::token::rollout::Percentage;
use crate::token::seal::Sealed;
use crate::token::session::{
    Lineage, MAX_ACCESS_RETENTION, Refused, Revocation, RevocationReason, Revoked, Session,
};

/// The columns of a session, in the order in which both adapters read them.
macro_rules! session_columns {
    () => {
        "id, user_id, token, expires_at, predecessor, generation, sealed, lineage_key, \
         handed_out_at, proven_at, created_at, last_used_at, revoked_at, revocation_reason, \
         granted, user_agent, ip_address, device_name, revision, auth_method, access_ends_at, \
         refresh_seconds, max_seconds, persistent, \
         epoch, exact_reason, set_aside, \
         device_key, device_thumbprint, device_algorithm, device_bound_at, device_generation"
    };
}
pub(super) use session_columns;

/// The assignments with which a revocation and an erasure forget a session's device.
macro_rules! forget_device {
    () => {
        "device_key = NULL, device_thumbprint = NULL, device_algorithm = NULL, \
         device_bound_at = NULL, device_generation = NULL"
    };
}
pub(super) use forget_device;

/// The assignments with which a rotation keeps a session's device, or removes it while device-bound
/// sessions are off, as [`settle_device`](crate::token::device_verdict::settle_device) does.
macro_rules! settled_device {
    () => {
        concat!(
            settled_device!("device_key"),
            settled_device!("device_thumbprint"),
            settled_device!("device_algorithm"),
            settled_device!("device_bound_at"),
            settled_device!("device_generation")
        )
    };
    ($column:literal) => {
        concat!($column, " = CASE WHEN n.device IS NOT NULL THEN s.", $column, " END, ")
    };
}
pub(super) use settled_device;

/// The columns of one row, in the order of [`session_columns`].
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) id: SessionId,
    pub(super) user_id: String,
    pub(super) token: String,
    pub(super) expires_at: Timestamp,
    pub(super) predecessor: Option<String>,
    pub(super) generation: i64,
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) lineage_key: Vec<u8>,
    pub(super) handed_out_at: Timestamp,
    pub(super) proven_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) last_used_at: Timestamp,
    pub(super) revoked_at: Option<Timestamp>,
    pub(super) revocation_reason: Option<String>,
    pub(super) granted: String,
    pub(super) user_agent: String,
    pub(super) ip_address: String,
    pub(super) device_name: String,
    pub(super) revision: i64,
    pub(super) auth_method: Option<String>,
    pub(super) access_ends_at: Option<Timestamp>,
    pub(super) refresh_seconds: Option<i64>,
    pub(super) max_seconds: Option<i64>,
    pub(super) persistent: Option<bool>,
    pub(super) epoch: Option<i64>,
    pub(super) exact_reason: Option<String>,
    pub(super) set_aside: Option<String>,
    pub(super) device: DeviceColumns,
}

/// The columns of a session's device.
#[derive(Debug, Clone, Default)]
pub(super) struct DeviceColumns {
    pub(super) key: Option<String>,
    pub(super) thumbprint: Option<String>,
    pub(super) algorithm: Option<String>,
    pub(super) bound_at: Option<Timestamp>,
    pub(super) generation: Option<i64>,
}

impl DeviceColumns {
    /// Returns the columns to write for a session.
    pub(super) fn of(session: &Session) -> Self {
        let Some(DeviceBinding { key, generation, bound_at }) = &session.device else {
            return Self::default();
        };
        Self {
            key: Some(key.jwk.clone()),
            thumbprint: Some(key.thumbprint.to_string()),
            algorithm: Some(key.algorithm.as_str().to_owned()),
            bound_at: Some(*bound_at),
            generation: Some(i64::from(generation.number())),
        }
    }

    fn into_binding(self) -> Result<Option<DeviceBinding>, StoreError> {
        let Some(thumbprint) = self.thumbprint else { return Ok(None) };
        let thumbprint = Thumbprint::parse(&thumbprint);
        let algorithm = self.algorithm.as_deref().and_then(Algorithm::named);
        let key = DeviceKey {
            jwk: self.key.ok_or_else(|| undecodable("device_key"))?,
            thumbprint: thumbprint.ok_or_else(|| undecodable("device_thumbprint"))?,
            algorithm: algorithm.ok_or_else(|| undecodable("device_algorithm"))?,
        };
        let bound_at = self.bound_at.ok_or_else(|| undecodable("device_bound_at"))?;
        let generation = self.generation.and_then(|number| u32::try_from(number).ok());
        let generation = generation.ok_or_else(|| undecodable("device_generation"))?;
        let generation = Generation::new(generation);
        Ok(Some(DeviceBinding { key, generation, bound_at }))
    }
}

/// Returns what a request showed of its device, as the statement that rotates compares it: a
/// thumbprint, an empty text for nothing, and null if it does not matter.
pub(super) fn shown(shown: Shown) -> Option<String> {
    match shown {
        Shown::Ignored => None,
        Shown::Nothing => Some(String::new()),
        Shown::Key(thumbprint) => Some(thumbprint.to_string()),
    }
}

impl Columns {
    /// Converts the columns to a session.
    ///
    /// # Errors
    /// Returns [`StoreError::Inconsistent`] if a column holds a value that this version never
    /// writes.
    pub(super) fn into_row(self) -> Result<Row, StoreError> {
        let revoked = self.revoked()?;
        let auth_method = self.auth_method()?;
        let access_ends_at = self.access_ends_at();
        let lifetimes = self.lifetimes()?;
        let own_end = lifetimes.end(self.created_at, self.last_used_at);
        let session = Session {
            id: self.id,
            revoked,
            auth_method,
            lineage: self.lineage()?,
            user_id: UserId::new(self.user_id).map_err(|_| undecodable("user_id"))?,
            grant: serde_json::from_str(&self.granted).map_err(|_| undecodable("granted"))?,
            client: ClientInfo::new(&self.user_agent, &self.ip_address, &self.device_name),
            created_at: self.created_at,
            last_used_at: self.last_used_at,
            // A version that does not know the session's own lifetimes may have extended it.
            expires_at: own_end.map_or(self.expires_at, |own| own.min(self.expires_at)),
            access_ends_at,
            lifetimes,
            persistent: self.persistent.unwrap_or(true),
            epoch: epoch(self.epoch.unwrap_or(0))?,
            device: self.device.into_binding()?,
        };
        Ok(Row { session, revision: self.revision })
    }

    fn lifetimes(&self) -> Result<Lifetimes, StoreError> {
        let lifetime = |seconds: Option<i64>, column| {
            let seconds = seconds.map(u64::try_from).transpose();
            seconds.map(|s| s.map(Duration::from_secs)).map_err(|_| undecodable(column))
        };
        Ok(Lifetimes {
            refresh: lifetime(self.refresh_seconds, "refresh_seconds")?,
            max: lifetime(self.max_seconds, "max_seconds")?,
        })
    }

    fn revoked(&self) -> Result<Option<Revoked>, StoreError> {
        let Some(at) = self.revoked_at else {
            return Ok(None);
        };
        let reason = self.exact_reason.as_deref().or(self.revocation_reason.as_deref());
        let reason = reason.and_then(RevocationReason::from_stored);
        let reason = reason.ok_or_else(|| undecodable("revocation_reason"))?;
        Ok(Some(Revoked { at, reason }))
    }

    /// Returns JWT for sessions that are older than the column `auth_method`.
    fn auth_method(&self) -> Result<AuthMethod, StoreError> {
        self.auth_method.as_deref().map_or(Ok(AuthMethod::Jwt), method)
    }

    /// A version that did not record the end of access tokens wrote the row. Its last token was
    /// issued when the row was last written, and may have the longest lifetime ever allowed.
    fn access_ends_at(&self) -> Timestamp {
        let last_issued_at = self.handed_out_at.max(self.last_used_at);
        self.access_ends_at.unwrap_or(last_issued_at + MAX_ACCESS_RETENTION)
    }

    fn lineage(&self) -> Result<Lineage, StoreError> {
        let hash = |hex: &str, column| TokenHash::from_hex(hex).ok_or_else(|| undecodable(column));
        let key: [u8; 32] =
            self.lineage_key.as_slice().try_into().map_err(|_| undecodable("lineage_key"))?;
        let generation = u32::try_from(self.generation).map_err(|_| undecodable("generation"))?;
        let (predecessor, set_aside) = (self.predecessor.as_deref(), self.set_aside.as_deref());
        Ok(Lineage {
            key: LineageKey::new(key),
            generation: Generation::new(generation),
            current: hash(&self.token, "token")?,
            predecessor: predecessor.map(|hex| hash(hex, "predecessor")).transpose()?,
            set_aside: set_aside.map(|hex| hash(hex, "set_aside")).transpose()?,
            sealed: self.sealed.clone().map(Sealed::from_stored),
            handed_out_at: self.handed_out_at,
            proven_at: self.proven_at,
        })
    }
}

fn epoch(number: i64) -> Result<Epoch, StoreError> {
    u32::try_from(number).map(Epoch::new).map_err(|_| undecodable("epoch"))
}

/// Converts a stored percentage of users.
pub(super) fn percentage(number: i64) -> Result<Percentage, StoreError> {
    Percentage::new(number).map_err(|_| undecodable("percentage"))
}

/// Converts a row of user, kind of access token, and number of live sessions.
pub(super) fn live_sessions(row: (String, String, i64)) -> Result<LiveSessions, StoreError> {
    let (user_id, auth_method, count) = row;
    Ok(LiveSessions {
        user_id: UserId::new(user_id).map_err(|_| undecodable("user_id"))?,
        auth_method: method(&auth_method)?,
        count: u64::try_from(count).unwrap_or(0),
    })
}

/// Converts a row of kind of access token, number of users, number of sessions, and number of those that
/// are bound to a device.
pub(super) fn census(row: (String, i64, i64, i64)) -> Result<Census, StoreError> {
    let (auth_method, users, sessions, bound) = row;
    Ok(Census {
        auth_method: method(&auth_method)?,
        users: u64::try_from(users).unwrap_or(0),
        sessions: u64::try_from(sessions).unwrap_or(0),
        bound: u64::try_from(bound).unwrap_or(0),
    })
}

fn method(name: &str) -> Result<AuthMethod, StoreError> {
    AuthMethod::from_stored(name).ok_or_else(|| undecodable("auth_method"))
}

/// Serializes a session's grant for its column.
///
/// # Errors
/// Returns [`StoreError::Inconsistent`] if the grant has no JSON form.
pub(super) fn granted(session: &Session) -> Result<String, StoreError> {
    serde_json::to_string(&session.grant).map_err(|_| undecodable("granted"))
}

/// Returns a session's own lifetimes in seconds, for their columns.
pub(super) fn lifetimes(session: &Session) -> (Option<i64>, Option<i64>) {
    let seconds = |life: Duration| i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
    let Lifetimes { refresh, max } = session.lifetimes;
    (refresh.map(seconds), max.map(seconds))
}

/// Returns the name of the revocation's reason, if the session is revoked, as all versions know it.
pub(super) fn reason(session: &Session) -> Option<&'static str> {
    session.revoked.map(|revoked| revoked.reason.known_to_all())
}

/// Returns the name of the revocation's reason if it is one that not all versions know.
pub(super) fn exact_reason(reason: RevocationReason) -> Option<&'static str> {
    (reason.known_to_all() != reason.as_str()).then_some(reason.as_str())
}

/// Returns a change's events as JSON, for a statement that writes them. `None`: there are none.
pub(super) fn events(events: &[SessionEvent]) -> Option<String> {
    let row = |event: &SessionEvent| {
        serde_json::json!({
            "at": event.at.as_micros(),
            "kind": event.what.kind().as_str(),
            "actor": event.actor,
            "detail": event.what.detail(),
        })
    };
    let rows: Vec<_> = events.iter().map(row).collect();
    (!rows.is_empty()).then(|| serde_json::Value::from(rows).to_string())
}

/// The columns of a revocation.
#[derive(Debug)]
pub(super) struct RevocationColumns {
    pub(super) session_id: SessionId,
    pub(super) user_id: String,
    pub(super) revoked_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) reason: String,
    pub(super) recorded_at: Timestamp,
    /// Set if only the access tokens of earlier epochs are refused. Then there is no reason and no user.
    pub(super) epoch: Option<i64>,
}

impl RevocationColumns {
    /// Converts the columns to a row of the revocation feed.
    ///
    /// # Errors
    /// Returns [`StoreError::Inconsistent`] if a column holds a value that this version never
    /// writes.
    pub(super) fn into_recorded(self) -> Result<Recorded, StoreError> {
        let (user_id, refused) = if let Some(number) = self.epoch {
            (None, Refused::Before(epoch(number)?))
        } else {
            let reason = RevocationReason::from_stored(&self.reason);
            let user_id = UserId::new(self.user_id).map_err(|_| undecodable("user_id"))?;
            let user_id = Some(user_id).filter(|id| *id != UserId::erased(self.session_id));
            (user_id, Refused::All(reason.ok_or_else(|| undecodable("reason"))?))
        };
        let revocation = Revocation {
            session_id: self.session_id,
            user_id,
            revoked_at: self.revoked_at,
            expires_at: self.expires_at,
            refused,
        };
        let position =
            Position { recorded_at: self.recorded_at, session_id: revocation.session_id };
        Ok(Recorded { revocation, position })
    }
}

/// The columns of an event.
#[derive(Debug)]
pub(super) struct EventColumns {
    pub(super) session_id: SessionId,
    pub(super) user_id: String,
    pub(super) happened_at: Timestamp,
    pub(super) kind: String,
    pub(super) actor: String,
    pub(super) detail: String,
}

impl EventColumns {
    /// Assembles the event.
    ///
    /// # Errors
    /// Returns [`StoreError::Inconsistent`] if a column holds a value that this version never writes.
    pub(super) fn into_event(self) -> Result<SessionEvent, StoreError> {
        let kind = EventKind::from_stored(&self.kind).ok_or_else(|| undecodable("kind"))?;
        let what = Happened::from_stored(kind, &self.detail);
        let user_id = UserId::new(self.user_id).map_err(|_| undecodable("user_id"))?;
        Ok(SessionEvent {
            session_id: self.session_id,
            user_id: Some(user_id).filter(|id| *id != UserId::erased(self.session_id)),
            at: self.happened_at,
            what: what.ok_or_else(|| undecodable("detail"))?,
            actor: self.actor,
        })
    }
}

pub(super) fn undecodable(column: &str) -> StoreError {
    StoreError::Inconsistent(format!("{column} holds a value that this version never writes"))
}
