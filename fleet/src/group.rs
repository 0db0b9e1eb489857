//! The groups of clients: those inside the documented bounds, those with a thief, and those that exceed
//! one bound each, by a stated amount.

use std::time::Duration;

use crate::settings::{DAY, HOUR, SECOND, Settings, WINDOW};

/// How a client leaves the documented bounds. In everything else it stays inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// It does not leave them.
    None,
    /// Slow round trips take up to this time, and the page waits for them.
    SlowReplies(Duration),
    /// Copies of requests arrive up to this time after their originals.
    LateCopies(Duration),
    /// The jar is written this long after a change.
    LateJar(Duration),
    /// The clocks of the two replicas differ by this time.
    Clocks(Duration),
    /// The browser's profile is restored from a backup of this age, once in three days.
    Restored(Duration),
    /// A server that renders pages refreshes with the browser's cookie and drops the new one, in this
    /// share of page loads (percent).
    DropsCookies(u32),
    /// The login's answer sets its cookie twice.
    LoginTwice,
    /// An answer that was under way when the laptop fell asleep arrives when it wakes up.
    AnswerAfterSleep,
    /// The database fails over once a day and loses the commits of this time.
    LostCommits(Duration),
}

/// A group of clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) excess: Excess,
    pub(crate) clients: u32,
    pub(crate) has_thieves: bool,
    /// The replicas that serve it.
    pub(crate) first_replica: usize,
    pub(crate) replicas: usize,
}

/// The replicas that serve everyone inside the bounds.
pub(crate) const COMMON_REPLICAS: usize = 3;

/// The excesses that need replicas of their own, two each, in the order of the replicas.
pub(crate) const APART: [Excess; 5] = [
    Excess::Clocks(WINDOW),
    Excess::Clocks(Duration::from_mins(2)),
    Excess::Clocks(Duration::from_mins(10)),
    Excess::LostCommits(Duration::from_secs(5)),
    Excess::LostCommits(Duration::from_mins(1)),
];

/// How much smaller a group outside the bounds is than the one inside.
const SHARE_OUTSIDE: u32 = 20;
/// How much smaller the group with thieves is than the one inside.
const SHARE_THIEVES: u32 = 10;

/// Returns the groups of a run.
pub(crate) fn groups(settings: &Settings) -> Vec<Group> {
    let secs = Duration::from_secs;
    let outside = [
        ("round trips up to 2 A", Excess::SlowReplies(secs(60))),
        ("round trips up to 4 A", Excess::SlowReplies(secs(120))),
        ("copies up to 3 A late", Excess::LateCopies(secs(90))),
        ("copies up to 10 A late", Excess::LateCopies(secs(300))),
        ("copies up to an hour late", Excess::LateCopies(HOUR)),
        ("jar written after 60 s", Excess::LateJar(SECOND * 60)),
        ("jar written after 5 min", Excess::LateJar(SECOND * 300)),
        ("clocks differ by A", APART[0]),
        ("clocks differ by 4 A", APART[1]),
        ("clocks differ by 10 min", APART[2]),
        ("profile restored, an hour old", Excess::Restored(HOUR)),
        ("profile restored, a day old", Excess::Restored(DAY)),
        ("server drops 1 % of cookies", Excess::DropsCookies(1)),
        ("server drops 30 % of cookies", Excess::DropsCookies(30)),
        ("login's answer sets its cookie twice", Excess::LoginTwice),
        ("answer arrives after a sleep", Excess::AnswerAfterSleep),
        ("failover loses 5 s of commits", APART[3]),
        ("failover loses 60 s of commits", APART[4]),
    ];
    let common = |name, excess, clients, has_thieves| Group {
        name,
        excess,
        clients,
        has_thieves,
        first_replica: 0,
        replicas: COMMON_REPLICAS,
    };
    let mut groups = vec![
        common("inside the bounds", Excess::None, settings.clients, false),
        common("with a thief", Excess::None, settings.clients.div_ceil(SHARE_THIEVES), true),
    ];
    for (name, excess) in outside.into_iter().filter(|_| settings.with_outside) {
        let group = common(name, excess, settings.clients.div_ceil(SHARE_OUTSIDE), false);
        groups.push(match APART.iter().position(|apart| *apart == excess) {
            Some(at) => Group { first_replica: COMMON_REPLICAS + 2 * at, replicas: 2, ..group },
            None => group,
        });
    }
    groups
}

/// Returns how many seconds of commits a failover of this replica's database loses. `None`: none.
pub(crate) fn lost_commits(replica: usize) -> Option<u64> {
    match APART.get(replica.checked_sub(COMMON_REPLICAS)? / 2)? {
        Excess::LostCommits(lost) => Some(lost.as_secs()),
        _ => None,
    }
}
