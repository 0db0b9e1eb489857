//! The pages of the console. The templates escape every value.

use askama::Template;

use super::calls::Calls;
use super::forms::{RolloutForm, Said};
use super::history::{History, Story, Wanted};
use super::texts;
use crate::cli::moment::timestamp;
use crate::cli::problem::Problem;
use crate::clock::Timestamp;
use crate::transport::http::{Frame, When, device_in_words};
use crate::transport::proto::v1::{GetRolloutResponse, GetStatusResponse, Session, SigningKey};

/// A page's place among the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Status,
    Sessions,
    Rollout,
    Keys,
}

impl Tab {
    const ALL: [Self; 4] = [Self::Status, Self::Sessions, Self::Rollout, Self::Keys];

    /// Returns its address, relative to the folder of all pages.
    pub(super) const fn href(self) -> &'static str {
        match self {
            Self::Status => "./",
            Self::Sessions => "sessions",
            Self::Rollout => "rollout",
            Self::Keys => "keys",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Status => texts::STATUS,
            Self::Sessions => texts::SESSIONS,
            Self::Rollout => texts::ROLLOUT,
            Self::Keys => texts::KEYS,
        }
    }
}

/// The top of every page.
#[derive(Debug)]
pub(super) struct Top<'a> {
    title: &'a str,
    address: &'a str,
    tabs: Vec<(&'static str, &'static str, bool)>,
    said: Option<&'static str>,
}

impl<'a> Top<'a> {
    /// Makes the top of a page. Without a `tab`, the browser was not admitted, and learns nothing.
    pub(super) fn new(title: &'a str, calls: &'a Calls, tab: Option<Tab>) -> Self {
        let entry = |of: &Tab| (of.href(), of.name(), tab == Some(*of));
        let tabs = tab.map(|_| Tab::ALL.iter().map(entry).collect()).unwrap_or_default();
        let address = if tab.is_some() { calls.address() } else { "" };
        Self { title, address, tabs, said: None }
    }

    pub(super) fn saying(self, said: Option<Said>) -> Self {
        Self { said: said.map(Said::text), ..self }
    }
}

/// A name and its value, which may be a time.
#[derive(Debug)]
pub(super) struct Row {
    name: &'static str,
    text: String,
    moment: Option<String>,
}

fn row(name: &'static str, text: impl Into<String>) -> Row {
    Row { name, text: text.into(), moment: None }
}

/// Makes a row with a time. `absent` replaces a time that is not set.
fn time(
    name: &'static str,
    at: Option<prost_types::Timestamp>,
    absent: &str,
    now: Timestamp,
) -> Row {
    match at {
        None => row(name, absent),
        Some(at) => {
            let When { moment, words } = When::new(timestamp(at), now);
            Row { name, text: words, moment: Some(moment) }
        }
    }
}

/// Rows with a title.
#[derive(Debug)]
pub(super) struct Section {
    title: String,
    /// Whether something is wrong.
    is_bad: bool,
    rows: Vec<Row>,
}

/// A page of sections.
#[derive(Debug, Template)]
#[template(path = "console/sections.html")]
pub(super) struct SectionsPage<'a> {
    pub(super) frame: &'a Frame,
    pub(super) top: Top<'a>,
    pub(super) lead: &'a str,
    pub(super) sections: Vec<Section>,
}

/// A page that says only one thing.
#[derive(Debug, Template)]
#[template(path = "console/message.html")]
pub(super) struct MessagePage<'a> {
    pub(super) frame: &'a Frame,
    pub(super) top: Top<'a>,
    pub(super) text: String,
}

/// The sections of the status.
pub(super) fn status(
    status: &GetStatusResponse,
    rollout: Result<&GetRolloutResponse, &Problem>,
    now: Timestamp,
) -> Vec<Section> {
    let database = status.database.clone().unwrap_or_default();
    let revocations = status.revocations.unwrap_or_default();
    let sweeper = status.sweeper.unwrap_or_default();
    let ready = match status.not_ready_reason.as_str() {
        "" => texts::YES.to_owned(),
        why => format!("{}: {why}", texts::NO),
    };
    let yes = |is: bool| if is { texts::YES } else { texts::NO };
    let overdue = match sweeper.overdue.map(|overdue| overdue.seconds) {
        None => texts::UNKNOWN.to_owned(),
        Some(0) => texts::NOTHING.to_owned(),
        Some(seconds) => texts::seconds(seconds),
    };
    let size = match database.size_bytes {
        0 => texts::UNKNOWN.to_owned(),
        bytes => texts::size(bytes),
    };
    let section = |title: &str, is_bad, rows| Section { title: title.to_owned(), is_bad, rows };
    let connections = texts::connections(database.open_connections, database.busy_connections);
    vec![
        section(
            texts::REPLICA,
            !status.not_ready_reason.is_empty(),
            vec![
                row(texts::VERSION, &status.version),
                time(texts::STARTED, status.started_at, texts::UNKNOWN, now),
                row(texts::READY, ready),
            ],
        ),
        section(
            texts::DATABASE,
            !database.reachable,
            vec![
                row(texts::SYSTEM, database.system),
                row(texts::REACHABLE, yes(database.reachable)),
                row(texts::SIZE, size),
                row(texts::CONNECTIONS, connections),
            ],
        ),
        section(
            texts::REVOCATIONS,
            revocations.stale,
            vec![
                time(texts::CONFIRMED, revocations.confirmed_at, texts::NOT_YET, now),
                row(texts::FRESH, yes(!revocations.stale)),
                row(texts::HELD, revocations.held_count.to_string()),
                row(texts::WATCHERS, revocations.watcher_count.to_string()),
            ],
        ),
        section(
            texts::SWEEPER,
            false,
            vec![
                time(texts::LAST_PASS, sweeper.completed_at, texts::NOT_YET, now),
                row(texts::DELETED, sweeper.deleted_count.to_string()),
                row(texts::OVERDUE, overdue),
            ],
        ),
        rollout_section(texts::ROLLOUT, rollout, now),
    ]
}

fn rollout_section(
    title: &str,
    rollout: Result<&GetRolloutResponse, &Problem>,
    now: Timestamp,
) -> Section {
    let rows = match rollout {
        Err(problem) => vec![row(texts::SHARE, problem.to_string())],
        Ok(rollout) => {
            let by = match rollout.updated_by.as_str() {
                "" => texts::BY_THE_SETTINGS,
                by => by,
            };
            vec![
                row(texts::SHARE, texts::percent(rollout.percentage)),
                row(texts::ENABLED, texts::jwts(rollout.jwt_enabled)),
                row(texts::SET_BY, by),
                time(texts::SET_AT, rollout.updated_at, texts::NEVER, now),
            ]
        }
    };
    Section { title: title.to_owned(), is_bad: rollout.is_err(), rows }
}

/// The sections of the keys.
pub(super) fn keys(keys: &[SigningKey], now: Timestamp) -> Vec<Section> {
    let section = |key: &SigningKey| Section {
        title: texts::key(&key.algorithm, texts::key_state(key.state())),
        is_bad: false,
        rows: vec![
            row(texts::KID, &key.kid),
            time(texts::CREATED, key.created_at, texts::BY_THE_SETTINGS, now),
            time(texts::SIGNS_FROM, key.signs_from, texts::BY_THE_SETTINGS, now),
            time(texts::SIGNS_UNTIL, key.signs_until, texts::OPEN_END, now),
            time(texts::VERIFIES_UNTIL, key.verifies_until, texts::OPEN_END, now),
            time(texts::LAST_USED, key.last_used_at, texts::NEVER, now),
        ],
    };
    keys.iter().map(section).collect()
}

/// The page of the roll-out. With a `change`, it asks whether to make it.
#[derive(Debug, Template)]
#[template(path = "console/rollout.html")]
pub(super) struct RolloutPage<'a> {
    pub(super) frame: &'a Frame,
    pub(super) top: Top<'a>,
    pub(super) sections: Vec<Section>,
    pub(super) now: RolloutForm,
    pub(super) question: Option<Question>,
}

/// The question whether to make a change.
#[derive(Debug)]
pub(super) struct Question {
    change: RolloutForm,
    before: String,
    after: String,
    is_same: bool,
}

impl Question {
    /// Makes the question about a change of the roll-out as it is now.
    pub(super) fn new(now: RolloutForm, change: RolloutForm) -> Self {
        let told = |change: RolloutForm| texts::rollout(change.percentage, change.jwt_enabled);
        Self { change, before: told(now), after: told(change), is_same: now == change }
    }
}

/// The sections of the roll-out and its census.
pub(super) fn rollout(
    rollout: &GetRolloutResponse,
    status: Option<&GetStatusResponse>,
    now: Timestamp,
) -> Vec<Section> {
    let live = status.map(|status| status.live_sessions.as_slice()).unwrap_or_default();
    let counted = live.iter().map(|live| {
        let counts = texts::live(live.session_count, live.user_count);
        row(texts::kind(live.auth_method()), counts)
    });
    let mut rows: Vec<Row> = counted.collect();
    if rows.is_empty() {
        rows.push(row(texts::CENSUS, texts::NOT_COUNTED));
    }
    let census = Section { title: texts::CENSUS.to_owned(), is_bad: live.is_empty(), rows };
    vec![rollout_section(texts::NOW, Ok(rollout), now), census]
}

/// The page of sessions. `found` is `None` until the operator looks for some.
#[derive(Debug, Template)]
#[template(path = "console/sessions.html")]
pub(super) struct SessionsPage<'a> {
    pub(super) frame: &'a Frame,
    pub(super) top: Top<'a>,
    pub(super) found: Option<Found<'a>>,
}

/// The sessions that were found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    user_id: &'a str,
    /// Whether one session was looked for.
    is_one: bool,
    cards: Vec<Card<'a>>,
    has_more_live: bool,
    has_live: bool,
    /// The link to the page of older events.
    older: Option<String>,
}

/// One session on the page.
#[derive(Debug)]
struct Card<'a> {
    id: &'a str,
    state: &'static str,
    is_live: bool,
    rows: Vec<Row>,
    events: Vec<Event>,
}

/// One event of a session.
#[derive(Debug)]
struct Event {
    what: String,
    at: Row,
}

impl<'a> Found<'a> {
    pub(super) fn new(wanted: &Wanted, history: &'a History, now: Timestamp) -> Self {
        let card = |story: &'a Story| Card::new(story, history.has_more_live, now);
        let older = Some(&history.older).filter(|page| !page.is_empty());
        let query = |page: &String| {
            let (name, value) = match wanted {
                Wanted::User(id) => ("user", id),
                Wanted::Session(id) => ("session", id),
            };
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair(name, value).append_pair("page", page);
            format!("{}?{}", Tab::Sessions.href(), query.finish())
        };
        Self {
            user_id: &history.user_id,
            is_one: matches!(wanted, Wanted::Session(_)),
            cards: history.stories.iter().map(card).collect(),
            has_more_live: history.has_more_live,
            has_live: history.stories.iter().any(|story| story.live.is_some()),
            older: older.map(query),
        }
    }

    fn all_of_user(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        format!("{}?{}", Tab::Sessions.href(), query.append_pair("user", self.user_id).finish())
    }
}

impl<'a> Card<'a> {
    fn new(story: &'a Story, has_more_live: bool, now: Timestamp) -> Self {
        let events = story.events.iter().map(|event| Event {
            what: texts::event(event),
            at: time(texts::EVENTS, event.occurred_at, texts::UNKNOWN, now),
        });
        let is_live = story.live.is_some();
        let state = match (is_live, story.end()) {
            (true, _) => texts::LIVE,
            (false, None) if has_more_live => texts::NOT_LISTED,
            (false, _) => texts::ENDED,
        };
        let rows = story.live.as_ref().map(|session| live(session, now)).unwrap_or_default();
        Self { id: &story.id, state, is_live, rows, events: events.collect() }
    }
}

fn live(session: &Session, now: Timestamp) -> Vec<Row> {
    let client = session.client.clone().unwrap_or_default();
    let agent = device_in_words(&client.user_agent).unwrap_or(client.user_agent);
    let known = |text: String| if text.is_empty() { texts::UNKNOWN.to_owned() } else { text };
    let device = match client.device_name.as_str() {
        "" => known(agent),
        name => format!("{name} ({})", known(agent)),
    };
    vec![
        row(texts::DEVICE, device),
        row(texts::ADDRESS, known(client.ip_address)),
        row(texts::KIND, texts::kind(session.auth_method())),
        time(texts::LAST_USED, session.last_used_at, texts::NEVER, now),
        time(texts::EXPIRES, session.expires_at, texts::UNKNOWN, now),
    ]
}
