//! Counts of what happened to clients.

use std::collections::BTreeMap;

use serde::Serialize;

/// The last unusual thing that happened to a client before it was logged out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Cause {
    /// Nothing unusual.
    Nothing,
    /// A request was lost.
    RequestLost,
    /// An answer was lost.
    AnswerLost,
    /// A page was closed or reloaded while its request was under way.
    PageLeft,
    /// Two tabs had requests under way at once.
    TwoTabs,
    /// A copy of a request arrived late.
    LateCopy,
    /// The browser or the device died.
    Crash,
    /// The laptop fell asleep with a request under way.
    Asleep,
    /// The database was down, and a request failed.
    DatabaseDown,
    /// The database committed and its answer was lost.
    CommitAnswerLost,
    /// A replica was killed with a request under way.
    ReplicaKilled,
    /// The client left the documented bounds in the way of its group.
    Excess,
}

impl Cause {
    pub(crate) const FAULTS: [Self; 3] =
        [Self::DatabaseDown, Self::CommitAnswerLost, Self::ReplicaKilled];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing unusual",
            Self::RequestLost => "a request was lost",
            Self::AnswerLost => "an answer was lost",
            Self::PageLeft => "a page was left while it asked",
            Self::TwoTabs => "two tabs asked at once",
            Self::LateCopy => "a copy of a request came late",
            Self::Crash => "the browser died",
            Self::Asleep => "the laptop fell asleep",
            Self::DatabaseDown => "the database was down",
            Self::CommitAnswerLost => "a commit's answer was lost",
            Self::ReplicaKilled => "a replica was killed",
            Self::Excess => "the group's excess",
        }
    }
}

/// The counts of one or many clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Tally {
    pub(crate) clients: u64,
    pub(crate) logins: u64,
    /// Requests that clients sent, with repeated ones and without copies.
    pub(crate) requests: u64,
    /// Requests that were answered with tokens.
    pub(crate) renewed: u64,
    /// Those of the refreshes that were tried again after a failure.
    pub(crate) retried: u64,
    /// Copies and late requests whose answer nobody awaited.
    pub(crate) copies: u64,
    /// Answers that the service itself failed to give.
    pub(crate) failed: u64,
    /// Those among them while neither a replica nor the database was at fault. There must be none.
    pub(crate) failed_unplanned: u64,
    /// Wrong logouts, by the last unusual thing before them.
    pub(crate) wrong_logouts: BTreeMap<Cause, u64>,
    /// Wrong logouts, by the reason that the service gave.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    /// Clients that were logged out wrongly at least once.
    pub(crate) clients_hit: u64,
    /// Requests that met a fault of the service.
    pub(crate) met: BTreeMap<Cause, u64>,
    /// Sessions that ended by their lifetime.
    pub(crate) expired: u64,
    /// Logins that a browser lost because it died before its jar was written.
    pub(crate) logins_lost: u64,
    /// Browsers that died with a refresh that was not on disk, and another one or a copy was decided or
    /// under way: outside the bounds, by chance.
    pub(crate) lost_more: u64,
    /// Those among them whose browser was logged out.
    pub(crate) lost_more_out: u64,
    /// What happened before the first wrong logout.
    pub(crate) story: Option<String>,
    /// Victims who were logged out because of a theft.
    pub(crate) victims_out: u64,
    /// Access tokens of live sessions that were refused although they had not expired.
    pub(crate) access_refused: u64,
}

impl Tally {
    pub(crate) fn wrong(&self) -> u64 {
        self.wrong_logouts.values().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.clients += other.clients;
        self.logins += other.logins;
        self.requests += other.requests;
        self.renewed += other.renewed;
        self.retried += other.retried;
        self.copies += other.copies;
        self.failed += other.failed;
        self.failed_unplanned += other.failed_unplanned;
        self.clients_hit += u64::from(other.wrong() > 0);
        self.expired += other.expired;
        self.logins_lost += other.logins_lost;
        self.lost_more += other.lost_more;
        self.lost_more_out += other.lost_more_out;
        self.story = self.story.take().or_else(|| other.story.clone());
        self.victims_out += other.victims_out;
        self.access_refused += other.access_refused;
        sum(&mut self.wrong_logouts, &other.wrong_logouts);
        sum(&mut self.reasons, &other.reasons);
        sum(&mut self.met, &other.met);
    }
}

fn sum<K: Copy + Ord>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(*key).or_default() += count;
    }
}
