//! Every text of the pages, in English.

pub(super) const SESSIONS_TITLE: &str = "Your sessions";
pub(super) const SESSIONS_LEAD: &str =
    "You are signed in on these devices. If you do not know one of them, sign it out.";
pub(super) const MORE_SESSIONS: &str = "You have more sessions than this page shows.";
pub(super) const THIS_DEVICE: &str = "This device";
pub(super) const BOUND: &str = "Bound to this device";
pub(super) const UNKNOWN_DEVICE: &str = "Unknown device";
pub(super) const UNKNOWN_ADDRESS: &str = "unknown";
pub(super) const ADDRESS: &str = "Address";
pub(super) const STARTED: &str = "Signed in";
pub(super) const LAST_USED: &str = "Last used";
pub(super) const EXPIRES: &str = "Ends";
pub(super) const SIGN_OUT: &str = "Sign out";
pub(super) const SIGN_OUT_HERE: &str = "Sign out on this device?";
pub(super) const OTHERS_TITLE: &str = "All other devices";
pub(super) const SIGN_OUT_OTHERS: &str = "Sign out all others";
pub(super) const CONFIRM_OTHERS: &str = "Yes, sign out all others";
pub(super) const JUST_NOW: &str = "just now";
pub(in crate::transport::http) const TO_SESSIONS: &str = "Your sessions";
pub(super) const BACK: &str = "Back";

/// A page that says only one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport::http) struct Message {
    /// Its title.
    pub(super) title: &'static str,
    /// What happened, and what to do.
    pub(super) text: &'static str,
}

pub(in crate::transport::http) const SIGNED_OUT: Message = Message {
    title: "You are signed out",
    text: "This browser has no live session. Sign in again to see your sessions.",
};
pub(in crate::transport::http) const FOREIGN: Message = Message {
    title: "Nothing was changed",
    text: "Another website sent this request. Open your sessions and try again there.",
};
pub(in crate::transport::http) const UNKNOWN_SESSION: Message = Message {
    title: "There is no such session",
    text: "The session does not exist, or it is not yours. Nothing was changed.",
};
pub(in crate::transport::http) const OTHER_USER: Message = Message {
    title: "Nothing was changed",
    text: "Somebody signed in or out in this browser since you opened the page. Open your sessions \
           again.",
};
pub(in crate::transport::http) const TRY_AGAIN: Message = Message {
    title: "Please try again",
    text: "The service cannot answer at the moment. Wait a few seconds and load the page again.",
};

/// Asks whether to sign out a device.
pub(super) fn sign_out_question(device: &str) -> String {
    format!("Sign out {device}?")
}

/// Confirms that question.
pub(super) fn sign_out_yes(device: &str) -> String {
    format!("Yes, sign out {device}")
}

/// Says what happens to the other sessions.
pub(super) fn others_question(count: usize) -> String {
    match count {
        1 => "One other device will have to sign in again.".to_owned(),
        count => format!("{count} other devices will have to sign in again."),
    }
}

/// Names the page that the link at the top leads back to.
pub(super) fn back_to(name: &str) -> String {
    format!("Back to {name}")
}

pub(super) fn in_the_past(span: &str) -> String {
    format!("{span} ago")
}

pub(super) fn in_the_future(span: &str) -> String {
    format!("in {span}")
}

pub(super) fn minutes(count: u64) -> String {
    plural(count, "minute")
}

pub(super) fn hours(count: u64) -> String {
    plural(count, "hour")
}

pub(super) fn days(count: u64) -> String {
    plural(count, "day")
}

fn plural(count: u64, unit: &str) -> String {
    if count == 1 { format!("{count} {unit}") } else { format!("{count} {unit}s") }
}

// The start page.
pub(super) const START_TITLE: &str = "token-authority works";
pub(super) const START_LEAD: &str = "This page exists only in development, on this machine. Log in as a \
     user who does not exist, and see what users never see: both tokens, a refresh, and a theft that \
     is found.";
pub(super) const START_SHELL: &str = "The same in a shell: the lines that the service printed when it \
     started, or `token-authority try`.";
pub(super) const USER: &str = "User";
pub(super) const A_USER: &str = "alice";
pub(super) const LOG_IN: &str = "Log in";
pub(super) const LOG_IN_AGAIN: &str = "Log in once more";
pub(in crate::transport::http) const TO_LIFE: &str = "Go on with the session of this browser";
pub(super) const LIFE_TITLE: &str = "The life of a session";
pub(super) const ACCESS_TITLE: &str = "The access token";
pub(super) const ACCESS_LEAD: &str = "A page keeps it in memory and sends it with each request. A \
     backend checks it without asking this service.";
pub(super) const ACCESS_OPAQUE: &str =
    "It is a session token, not a JWT: only this service can tell what it means.";
pub(super) const JOSE_HEADER: &str = "Header";
pub(super) const CLAIMS: &str = "Claims";
pub(super) const WHOLE_TOKEN: &str = "The whole token";
pub(super) const VERDICT: &str = "ValidateToken says";
pub(super) const ACTIVE: &str = "active";
pub(super) const NO_ACCESS: &str = "There is none: log in.";
pub(super) const REFRESH_TITLE: &str = "The refresh token";
pub(super) const REFRESH_LEAD: &str = "It is in a cookie that no script can read and that only goes to \
     /api/auth. Each refresh exchanges it for the next generation.";
pub(super) const NO_REFRESH: &str = "This browser has no refresh cookie: log in.";
pub(super) const SESSION: &str = "Session";
pub(super) const GENERATION: &str = "Generation";
pub(super) const RANDOM: &str = "Random bytes: 32, of which this page shows 4";
pub(super) const MAC: &str = "MAC of all of these: 32 bytes";
pub(super) const STORED: &str = "Stored in the database: the token's SHA-256";
pub(super) const STATE: &str = "State";
pub(super) const LIVE: &str = "live";
pub(super) const ENDED: &str = "refused: the session is over";
pub(super) const STEPS_TITLE: &str = "What next?";
pub(super) const REFRESH: &str = "Refresh";
pub(super) const REFRESH_WHY: &str =
    "Exchange the cookie for new tokens, as a product's page does.";
pub(super) const COPY: &str = "Copy the cookie";
pub(super) const COPY_WHY: &str = "A thief with access to this device could do the same.";
pub(super) const STEAL: &str = "Use the copy";
pub(super) const SEE_SESSIONS: &str = "See your sessions";
pub(super) const SEE_SESSIONS_WHY: &str =
    "The page that your product's users see, on which they sign out devices.";
pub(super) const LOGGED_IN: &str =
    "Logged in. The browser has the first refresh token, generation 0, in its cookie.";
pub(super) const NO_USER: &str =
    "Nobody was logged in: a user's id has 1 to 255 bytes and no control characters.";
pub(super) const NO_SECURE_COOKIE: &str = "Logged in, but this browser stores no cookie marked Secure \
     without HTTPS. Start the service with COOKIE_SECURE=false, or use Chromium or Firefox.";
pub(super) const REFRESHED: &str =
    "Refreshed. The browser has a new access token and the next refresh token.";
pub(super) const OVER: &str = "Refused: this browser has no live session. Log in.";
pub(super) const REUSED: &str = "The theft was found: the browser came with an older token than the \
     thief's. The session is over for both.";
pub(super) const THIEF_FOUND: &str = "The theft was found: somebody used a refresh token whose \
     successor is in use. The session is over for the thief and for the user, and its access token \
     is refused from now on.";
pub(super) const THIEF_LATE: &str = "The copy is useless: its session is over.";

/// Shows the beginning of a secret.
pub(super) fn cut(beginning: &str) -> String {
    format!("{beginning}…")
}

/// Says that a token is not active.
pub(super) fn inactive(reason: &str) -> String {
    format!("not active: {reason}")
}

/// Explains the use of the copy.
pub(super) fn steal_why(generation: u32, window: u64) -> String {
    format!(
        "The thief has generation {generation}. Refresh, wait {window} seconds, refresh again, and wait \
         {window} seconds: until then, an old token may come from the same browser, which has lost an \
         answer."
    )
}

/// Says what to do with the copy.
pub(super) fn copied(window: u64) -> String {
    format!(
        "Copied. Now let the browser move on: refresh, wait {window} seconds, refresh again, wait \
         {window} seconds. Then use the copy."
    )
}

/// Explains why the refresh token has not changed.
pub(super) fn unchanged(window: u64) -> String {
    format!(
        "Refreshed. The browser has a new access token and keeps its refresh token, because it is \
         younger than {window} seconds: many tabs may refresh at once."
    )
}

/// Explains why a thief was served.
pub(super) fn thief_served(window: u64) -> String {
    format!(
        "The thief was served: so soon, the service cannot tell a thief from the same browser. \
         Refresh, wait {window} seconds, refresh again, wait {window} seconds, and use the copy again."
    )
}
