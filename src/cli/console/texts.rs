//! Every text of the console, in English.

use crate::transport::proto::v1::{
    AuthMethod, RevocationReason, SessionEvent, SessionEventType, SigningKeyState,
};

pub(super) const NAME: &str = "token-authority console";
pub(super) const TABS: &str = "Pages";
pub(super) const STATUS: &str = "Status";
pub(super) const SESSIONS: &str = "Sessions";
pub(super) const ROLLOUT: &str = "Roll-out";
pub(super) const KEYS: &str = "Keys";

// The status.
pub(super) const STATUS_LEAD: &str = "The state of the replica that answered. If there are several, load \
     the page again to see another one, or name one with --authority.";
pub(super) const REPLICA: &str = "Replica";
pub(super) const VERSION: &str = "Version";
pub(super) const STARTED: &str = "Started";
pub(super) const READY: &str = "Ready";
pub(super) const YES: &str = "yes";
pub(super) const DATABASE: &str = "Database";
pub(super) const SYSTEM: &str = "Kind";
pub(super) const REACHABLE: &str = "Answers";
pub(super) const NO: &str = "no";
pub(super) const SIZE: &str = "Size";
pub(super) const CONNECTIONS: &str = "Connections";
pub(super) const REVOCATIONS: &str = "Revocations";
pub(super) const CONFIRMED: &str = "Complete as of";
pub(super) const FRESH: &str = "Fresh enough";
pub(super) const HELD: &str = "In memory";
pub(super) const WATCHERS: &str = "Watchers";
pub(super) const SWEEPER: &str = "Sweeper";
pub(super) const LAST_PASS: &str = "Last pass";
pub(super) const DELETED: &str = "Deleted sessions";
pub(super) const OVERDUE: &str = "Overdue";
pub(super) const NOTHING: &str = "nothing";
pub(super) const UNKNOWN: &str = "unknown";
pub(super) const NOT_YET: &str = "not yet";

// The keys.
pub(super) const KEYS_LEAD: &str = "The keys that sign and verify access tokens. `token-authority keys \
     rotate`, on a machine with the database, creates the next one.";
pub(super) const NO_KEYS: &str = "The database did not tell the keys in time.";
pub(super) const KID: &str = "kid";
pub(super) const CREATED: &str = "Created";
pub(super) const SIGNS_FROM: &str = "Signs from";
pub(super) const SIGNS_UNTIL: &str = "Signs until";
pub(super) const VERIFIES_UNTIL: &str = "Verifies until";
pub(super) const LAST_USED: &str = "Last used";
pub(super) const NEVER: &str = "never";
pub(super) const OPEN_END: &str = "open";
pub(super) const BY_THE_SETTINGS: &str = "by the settings";

// The sessions.
pub(super) const SESSIONS_LEAD: &str = "Find the sessions of a user, or one session, with what happened to them. Ended sessions are shown, too.";
pub(super) const USER: &str = "User";
pub(super) const FIND_USER: &str = "Find the user's sessions";
pub(super) const SESSION: &str = "Session";
pub(super) const FIND_SESSION: &str = "Find the session";
pub(super) const NO_SESSIONS: &str = "There is no live session, and no event is kept. The name may be wrong, or all of it was long ago.";
pub(super) const MORE_LIVE: &str =
    "The user has more live sessions than this page shows. Only the newest ones are listed.";
pub(super) const LIVE: &str = "live";
pub(super) const ENDED: &str = "ended";
pub(super) const NOT_LISTED: &str = "not among the newest live ones";
pub(super) const ADDRESS: &str = "Address";
pub(super) const DEVICE: &str = "Device";
pub(super) const KIND: &str = "Access token";
pub(super) const EXPIRES: &str = "Ends if unused";
pub(super) const EVENTS: &str = "What happened";
pub(super) const NO_EVENTS: &str = "No event is kept.";
pub(super) const OLDER: &str = "Older events";
pub(super) const END: &str = "End this session";
pub(super) const END_YES: &str = "Yes, end this session";
pub(super) const END_ALL: &str = "End all sessions of this user";
pub(super) const END_ALL_YES: &str = "Yes, end all sessions of this user";
pub(super) const ALL_SESSIONS: &str = "All sessions of this user";

// The roll-out.
pub(super) const ROLLOUT_LEAD: &str = "Which share of users gets JWTs. The others get session tokens. Nobody is logged out by a change.";
pub(super) const SHARE: &str = "Share of users who get JWTs";
pub(super) const ENABLED: &str = "JWTs";
pub(super) const ON: &str = "on";
pub(super) const OFF: &str = "off: everybody gets session tokens";
pub(super) const SET_BY: &str = "Set by";
pub(super) const SET_AT: &str = "Set";
pub(super) const NOW: &str = "Now";
pub(super) const CENSUS: &str = "Live sessions";
pub(super) const NOT_COUNTED: &str = "The live sessions could not be counted in time.";
pub(super) const MOVE: &str = "Change";
pub(super) const REVIEW: &str = "See what would change";
pub(super) const CONFIRM: &str = "Change the roll-out?";
pub(super) const CONFIRM_YES: &str = "Yes, change the roll-out";
pub(super) const CONFIRM_NO: &str = "No, leave it as it is";
pub(super) const BEFORE: &str = "Now";
pub(super) const AFTER: &str = "Then";
pub(super) const UNCHANGED: &str = "This is the roll-out as it is now.";
pub(super) const CONFIRM_LEAD: &str = "Every replica follows within a second. A user gets the other kind of token with the next refresh.";

// Outcomes.
pub(super) const SAID_ENDED: &str =
    "The session is over. Its access tokens are refused on every replica within a second.";
pub(super) const SAID_ALL_ENDED: &str = "All live sessions of the user are over.";
pub(super) const SAID_SET: &str = "The roll-out was changed.";

/// A page that says only one thing: its title and its text.
pub(super) type Message = (&'static str, &'static str);

pub(super) const WRONG_LINK: Message = (
    "This link does not open the console",
    "A link works once. If you have not used it yourself, somebody else has: end the console with Ctrl+C, \
     and start it again.",
);
pub(super) const NOT_OPENED: Message = (
    "Open the console by its link",
    "`token-authority console` printed a link when it started. It works once, in one browser.",
);
pub(super) const FOREIGN: Message = (
    "Nothing was done",
    "Another page sent this request. Open the console's address in a new tab.",
);
pub(super) const NO_PAGE: Message = ("There is no such page", "Follow a link at the top.");
pub(super) const BAD_FORM: Message =
    ("Nothing was changed", "The form was not complete. Go back and try again.");
pub(super) const CHANGED_MEANWHILE: Message = (
    "Nothing was changed",
    "Somebody changed the roll-out since you opened the page. Look at it again.",
);
pub(super) const PROBLEM: &str = "The authority did not do this";

pub(super) fn size(bytes: i64) -> String {
    const MEGABYTE: i64 = 1 << 20;
    match bytes {
        0..MEGABYTE => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes / MEGABYTE),
    }
}

pub(super) fn connections(open: i32, busy: i32) -> String {
    format!("{open}, {busy} of them busy")
}

pub(super) fn seconds(count: i64) -> String {
    format!("for {count} s")
}

pub(super) fn percent(percentage: i32) -> String {
    format!("{percentage} %")
}

pub(super) const fn jwts(enabled: bool) -> &'static str {
    if enabled { ON } else { OFF }
}

pub(super) fn rollout(percentage: i32, enabled: bool) -> String {
    let percentage = percent(percentage);
    if enabled { percentage } else { format!("{percentage}, JWTs off") }
}

pub(super) fn live(sessions: i64, users: i64) -> String {
    format!("sessions: {sessions}, users: {users}")
}

pub(super) fn key(algorithm: &str, state: &str) -> String {
    format!("{algorithm}, {state}")
}

pub(super) fn end_question(user: &str) -> String {
    match user {
        "" => "The device has to log in again.".to_owned(),
        user => format!("The device has to log in as {user} again."),
    }
}

pub(super) fn end_all_question(user: &str) -> String {
    format!("Every device of {user} has to log in again.")
}

pub(super) const fn kind(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::Unspecified => UNKNOWN,
        AuthMethod::Jwt => "JWT",
        AuthMethod::Session => "session token",
    }
}

pub(super) const fn key_state(state: SigningKeyState) -> &'static str {
    match state {
        SigningKeyState::Unspecified => UNKNOWN,
        SigningKeyState::Prepared => "prepared: published, not signing yet",
        SigningKeyState::Active => "active: signs new tokens",
        SigningKeyState::Retiring => "retiring: verifies its last tokens",
        SigningKeyState::Verifying => "verifying: another key signs",
        SigningKeyState::Gone => "gone",
    }
}

/// Says what happened, and who asked for it.
pub(super) fn event(event: &SessionEvent) -> String {
    let what = match event.r#type() {
        SessionEventType::Unspecified => "something that this version does not know".to_owned(),
        SessionEventType::Issued => "logged in".to_owned(),
        SessionEventType::Refreshed => "last refreshed".to_owned(),
        SessionEventType::ReuseFound => {
            "ended: a refresh token was used again, so it may have been stolen".to_owned()
        }
        SessionEventType::Revoked => format!("ended: {}", reason(event.reason())),
        SessionEventType::Updated => updated(event),
        SessionEventType::Bound => "bound to a device".to_owned(),
    };
    match event.actor.as_str() {
        "" => what,
        actor => format!("{what}, by {actor}"),
    }
}

fn updated(event: &SessionEvent) -> String {
    let fields = event.updated_fields.join(", ");
    match (fields.as_str(), event.refresh_now) {
        ("", _) => "earlier access tokens refused".to_owned(),
        (fields, false) => format!("changed: {fields}"),
        (fields, true) => format!("changed: {fields}; earlier access tokens refused"),
    }
}

const fn reason(reason: RevocationReason) -> &'static str {
    match reason {
        RevocationReason::Unspecified => "the reason is not known",
        RevocationReason::Logout => "logout",
        RevocationReason::Admin => "one session was ended",
        RevocationReason::User => "all sessions of the user were ended",
        RevocationReason::Reuse => "a refresh token was used again",
        RevocationReason::Evicted => "the user logged in on too many devices",
    }
}
