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
pub(super) const TO_SESSIONS: &str = "Your sessions";
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
