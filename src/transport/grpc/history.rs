//! `ListSessionEvents`: converts its messages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::convert::timestamp;
use super::watch::reason;
use crate::clock::Timestamp;
use crate::store::{EventPosition, EventsOf};
use crate::token::event::{EventKind, Happened, SessionEvent};
use crate::token::field::InvalidField;
use crate::token::id::UserId;
use crate::token::session::RevocationReason;
use crate::transport::proto::v1;
use crate::transport::proto::v1::SessionEventType;
use crate::transport::proto::v1::list_session_events_request::Target;

/// The last second of the year 9999.
const END_OF_TIME: Timestamp = Timestamp::from_seconds(253_402_300_799);

pub(super) fn target(target: Option<Target>) -> Result<EventsOf, InvalidField> {
    match target {
        Some(Target::SessionId(id)) => Ok(EventsOf::Session(id.parse()?)),
        Some(Target::UserId(id)) => Ok(EventsOf::User(UserId::new(id)?)),
        None => Err(InvalidField::new("session_id", "is required, unless user_id is set")),
    }
}

/// Makes a page token. It names the last event of the previous page: eight bytes of time, the session,
/// and the kind.
pub(super) fn page_token(last: &SessionEvent) -> String {
    let EventPosition { at, session_id, kind } = EventPosition::of(last);
    let mut bytes = at.as_micros().to_be_bytes().to_vec();
    bytes.extend(session_id.as_uuid().as_bytes());
    bytes.extend(kind.as_str().bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn read_page_token(token: &str) -> Result<Option<EventPosition>, InvalidField> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (at, rest) = bytes.split_first_chunk()?;
        let (id, kind) = rest.split_first_chunk()?;
        let at = Timestamp::from_micros(i64::from_be_bytes(*at));
        // The databases know no time outside of these years.
        let is_known = (Timestamp::EPOCH..END_OF_TIME).contains(&at);
        Some(EventPosition {
            at: is_known.then_some(at)?,
            session_id: uuid::Uuid::from_bytes(*id).into(),
            kind: EventKind::from_stored(str::from_utf8(kind).ok()?)?,
        })
    };
    let rule = "must be a next_page_token from this service";
    read().map(Some).ok_or(InvalidField::new("page_token", rule))
}

pub(super) fn event(event: SessionEvent) -> v1::SessionEvent {
    let SessionEvent { session_id, user_id, at, what, actor } = event;
    let told = v1::SessionEvent {
        session_id: session_id.to_string(),
        user_id: user_id.map(|user_id| user_id.as_str().to_owned()).unwrap_or_default(),
        occurred_at: Some(timestamp(at)),
        actor,
        ..v1::SessionEvent::default()
    };
    let of_type = |kind: SessionEventType| v1::SessionEvent { r#type: kind.into(), ..told.clone() };
    match what {
        Happened::Bound => of_type(SessionEventType::Bound),
        Happened::Issued => of_type(SessionEventType::Issued),
        Happened::Refreshed => of_type(SessionEventType::Refreshed),
        Happened::Revoked(why) => {
            let is_reuse = why == RevocationReason::Reuse;
            let kind =
                if is_reuse { SessionEventType::ReuseFound } else { SessionEventType::Revoked };
            v1::SessionEvent { reason: reason(why).into(), ..of_type(kind) }
        }
        Happened::Updated { fields, refresh_now } => v1::SessionEvent {
            updated_fields: fields.iter().map(|field| field.as_str().to_owned()).collect(),
            refresh_now,
            ..of_type(SessionEventType::Updated)
        },
    }
}
