//! What the rules cost, and what they save: how many refreshes each thief gets under each choice, and
//! which innocent users are logged out. The decision record contains both tables.
//!
//! The browser refreshes every half an hour of a working day of eight hours, with two days of work. Each
//! access token is used two seconds and five minutes after it was issued, if the backends ask this
//! service. If they verify locally, no receipt is ever recorded.

use std::time::Duration;

use token_authority::clock::Timestamp;
use token_authority::token::id::Generation;
use token_authority::token::refresh::RefreshToken;
use token_authority::token::rotation::{Policy, Verdict};
use token_authority::token::session::Session;

use crate::rules::Rules;
use crate::system::{LOGIN, candidate, log_in};

const DECISION: &str = include_str!("../../docs/adr/0001-rotation.md");

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// The time between two refreshes of the browser, and of a thief.
const BETWEEN: u64 = 30 * MINUTE;
/// The browser's refreshes of a day: the first one, and 16 more.
const REFRESHES: u64 = 17;
/// When a thief who is still unseen counts as one who stays.
const STAYS: usize = 20;

/// The choices, by their name in the tables.
const CHOICES: [(&str, Rules, u64); 6] = [
    ("former", Rules::Former, 30),
    ("late receipts", Rules::OnlyLateReceipts, 30),
    ("**chosen**", Rules::Real, 30),
    ("beside for ever", Rules::BesideForEver, 30),
    ("former, 120 s", Rules::Former, 120),
    ("chosen, 120 s, short after a receipt", Rules::ShortAfterProof, 120),
];

/// A session under some rules, and what its parties hold.
struct Play {
    rules: Rules,
    policy: Policy,
    session: Session,
    receipts: bool,
    jar: RefreshToken,
    /// Access tokens that will be used, and when: their generation, their issue, their use.
    to_use: Vec<(Generation, Timestamp, Timestamp)>,
    seeds: u64,
}

fn at(seconds: u64) -> Timestamp {
    LOGIN + Duration::from_secs(seconds)
}

impl Play {
    fn new(rules: Rules, window: u64, receipts: bool) -> Self {
        let policy = Policy {
            rotation: true,
            window: Duration::from_secs(window),
            refresh_lifetime: Duration::from_hours(7 * 24),
            session_max_lifetime: Duration::from_hours(30 * 24),
        };
        let (session, jar) = log_in(&policy);
        Self { rules, policy, session, receipts, jar, to_use: Vec::new(), seeds: 0 }
    }

    fn is_over(&self) -> bool {
        self.session.revoked.is_some()
    }

    /// Presents a token at a time. Returns the token of the answer.
    fn present(&mut self, token: &RefreshToken, seconds: u64) -> Option<RefreshToken> {
        self.use_tokens(seconds);
        self.seeds += 1;
        let (rules, policy) = (self.rules, self.policy);
        let seed = candidate(self.seeds);
        let (verdict, token) = rules.refresh(&mut self.session, token, &seed, at(seconds), &policy);
        assert_ne!(verdict, Verdict::Invalid);
        token
    }

    /// Lets an access token that came with a refresh token be used from then on.
    fn receive(&mut self, token: &RefreshToken, seconds: u64) {
        for later in [2, 5 * MINUTE] {
            self.to_use.push((token.generation(), at(seconds), at(seconds + later)));
        }
    }

    /// Records the receipts of access tokens that were used until then.
    fn use_tokens(&mut self, seconds: u64) {
        self.to_use.sort_by_key(|(_, _, used_at)| *used_at);
        let due = self.to_use.partition_point(|(_, _, used_at)| *used_at <= at(seconds));
        for (generation, issued_at, used_at) in self.to_use.drain(..due).collect::<Vec<_>>() {
            let lineage = &mut self.session.lineage;
            let proves = generation != Generation::FIRST
                && generation == lineage.generation
                && self.rules.proves_receipt(&self.policy, issued_at, used_at);
            if self.receipts && proves {
                lineage.proven_at.get_or_insert(used_at);
            }
        }
    }

    /// Lets the browser refresh, with a reply that arrives.
    fn refresh(&mut self, seconds: u64) -> bool {
        let jar = self.jar.clone();
        let answer = self.present(&jar, seconds);
        if let Some(token) = &answer {
            self.receive(token, seconds);
            self.jar = token.clone();
        }
        answer.is_some()
    }
}

/// When the browser refreshes.
fn of_the_browser() -> Vec<u64> {
    [0, 24 * HOUR].iter().flat_map(|day| (0..REFRESHES).map(move |n| day + n * BETWEEN)).collect()
}

/// A thief: when it copies the jar, and when it presents the newest token that it has.
struct Thief {
    name: &'static str,
    copies_at: u64,
    presents_at: Vec<u64>,
}

fn every_half_hour(from: u64) -> Vec<u64> {
    (0..2 * 48).map(|n| from + n * BETWEEN).collect()
}

fn after_each_refresh(from: u64, by: u64) -> Vec<u64> {
    of_the_browser().into_iter().filter(|at| *at >= from).map(|at| at + by).collect()
}

fn thieves() -> Vec<Thief> {
    // The copy is the jar's token between the browser's third and fourth refresh of the day.
    let (copies_at, next) = (HOUR + 10 * MINUTE, HOUR + 30 * MINUTE);
    let thief = |name, presents_at| Thief { name, copies_at, presents_at };
    let evening = 7 * HOUR + 40 * MINUTE;
    vec![
        thief("at once, before the browser", every_half_hour(copies_at + MINUTE)),
        thief("after the browser, then alternating", after_each_refresh(next, 15 * MINUTE)),
        Thief {
            name: "a night later",
            copies_at: evening,
            presents_at: every_half_hour(16 * HOUR),
        },
        thief("from a backup, a day later", every_half_hour(26 * HOUR)),
        thief("60 s behind the browser", after_each_refresh(next, MINUTE)),
        thief("100 s behind the browser", after_each_refresh(next, 100)),
        thief("together with the browser", after_each_refresh(next, 0)),
    ]
}

/// Returns how many refreshes the thief got until the session was revoked, or until it counts as one
/// who stays.
fn refreshes_of(thief: &Thief, (_, rules, window): (&str, Rules, u64), receipts: bool) -> usize {
    let mut play = Play::new(rules, window, receipts);
    let mut events: Vec<(u64, u8)> = of_the_browser().into_iter().map(|at| (at, 1)).collect();
    events.push((thief.copies_at, 0));
    events.extend(thief.presents_at.iter().map(|at| (*at, 2)));
    events.sort_unstable();
    let (mut held, mut got) = (None, 0);
    for (seconds, what) in events {
        match what {
            0 => held = Some(play.jar.clone()),
            1 => drop(play.refresh(seconds)),
            _ => {
                let newest = held.clone().unwrap();
                if let Some(token) = play.present(&newest, seconds) {
                    play.receive(&token, seconds);
                    held = Some(token);
                    got += 1;
                }
            }
        }
        if play.is_over() || got >= STAYS {
            break;
        }
    }
    got
}

/// A browser that dies ten seconds after its refresh, and comes back with its former jar.
fn dies(play: &mut Play) -> bool {
    let on_disk = play.jar.clone();
    play.refresh(BETWEEN);
    play.use_tokens(BETWEEN + 10);
    play.to_use.clear();
    play.jar = on_disk;
    play.refresh(16 * HOUR) && play.refresh(16 * HOUR + BETWEEN)
}

/// A copy of the browser's request arrives a minute late.
fn is_copied(play: &mut Play) -> bool {
    let sent = play.jar.clone();
    play.refresh(BETWEEN);
    play.present(&sent, BETWEEN + MINUTE);
    play.refresh(2 * BETWEEN) && play.refresh(3 * BETWEEN)
}

/// The same, and the page is reloaded after 40 seconds.
fn is_copied_and_reloads(play: &mut Play) -> bool {
    let sent = play.jar.clone();
    play.refresh(BETWEEN);
    play.refresh(BETWEEN + 40);
    play.present(&sent, BETWEEN + MINUTE);
    play.refresh(2 * BETWEEN) && play.refresh(3 * BETWEEN)
}

/// A reply takes 40 seconds, and another tab refreshes after 35.
fn waits(play: &mut Play) -> bool {
    let sent = play.jar.clone();
    let slow = play.present(&sent, BETWEEN).unwrap();
    play.refresh(BETWEEN + 35);
    play.receive(&slow, BETWEEN);
    play.jar = slow;
    play.refresh(2 * BETWEEN) && play.refresh(3 * BETWEEN)
}

type Script = fn(&mut Play) -> bool;

const INNOCENT: [(&str, Script); 4] = [
    ("dies before its jar is on disk", dies),
    ("a copy of its request arrives after 60 s", is_copied),
    ("the same, and its page is reloaded meanwhile", is_copied_and_reloads),
    ("a reply takes 40 s, another tab refreshes after 35 s", waits),
];

/// Formats a table with a column for each choice.
fn table(first: &str, rows: &[(&str, Vec<String>)]) -> String {
    let names: Vec<&str> = CHOICES.iter().map(|(name, _, _)| *name).collect();
    let head = format!("| {first} | {} |\n", names.join(" | "));
    let line = format!("|---|{}\n", "---|".repeat(CHOICES.len()));
    let row = |(name, cells): &(&str, Vec<String>)| format!("| {name} | {} |\n", cells.join(" | "));
    head + &line + &rows.iter().map(row).collect::<String>()
}

fn is_quoted(table: &str) {
    assert!(DECISION.contains(table), "docs/adr/0001-rotation.md lacks this table:\n{table}");
}

fn counted(got: usize) -> String {
    if got >= STAYS { "stays".into() } else { got.to_string() }
}

#[test]
fn the_decision_record_tells_what_thieves_get() {
    let row = |thief: &Thief| {
        let cell = |choice| {
            let asked = refreshes_of(thief, choice, true);
            let local = refreshes_of(thief, choice, false);
            format!("{} / {}", counted(asked), counted(local))
        };
        CHOICES.map(cell).to_vec()
    };
    let thieves = thieves();
    let rows: Vec<_> = thieves.iter().map(|thief| (thief.name, row(thief))).collect();
    is_quoted(&table("thief", &rows));
}

#[test]
fn the_decision_record_tells_which_innocent_users_are_logged_out() {
    let row = |script: Script| {
        let cell = |(_, rules, window)| {
            let stays = |receipts| script(&mut Play::new(rules, window, receipts));
            let word = |stays: bool| if stays { "stays" } else { "**out**" };
            format!("{} / {}", word(stays(true)), word(stays(false)))
        };
        CHOICES.map(cell).to_vec()
    };
    let rows: Vec<_> = INNOCENT.iter().map(|(name, script)| (*name, row(*script))).collect();
    is_quoted(&table("the browser", &rows));
}

/// No thief gets more refreshes than under the former rules, except for the one that the model
/// demands: a browser that died cannot be told from a thief who comes with the predecessor.
#[test]
fn no_thief_gets_more_than_one_refresh_more_than_before() {
    let [former, _, chosen, ..] = CHOICES;
    for thief in thieves() {
        for receipts in [true, false] {
            let (before, now) =
                (refreshes_of(&thief, former, receipts), refreshes_of(&thief, chosen, receipts));
            assert!(now <= before + 1, "{}: {now} instead of {before}", thief.name);
        }
    }
}
