//! What happens to the service as a whole, every day: restarts, a kill, a failover, new secrets, the
//! roll-out, the sweeper.

use std::time::Duration;

use token_authority::clock::Timestamp;

use crate::group::COMMON_REPLICAS;
use crate::settings::{DAY, HOUR, MINUTE, SECOND, START};

/// What the database does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    /// It answers.
    Up,
    /// It commits, and its answers to writes are lost.
    AnswersLost,
    /// It fails.
    Down,
}

/// Something that happens to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A replica ends in order, and starts anew.
    Restart(usize),
    /// A replica is killed. Requests still reach it for a moment, and get no answer.
    Kill(usize),
    /// The load balancer has noticed, and the replica's memory is gone.
    Gone(usize),
    /// It starts anew.
    Start(usize),
    /// The database changes its behaviour.
    Database(Database),
    /// From now on, commits are those that the failover will lose, where this applies (seconds).
    Remember(u64),
    /// The failover loses them.
    Forget(u64),
    /// The next secret verifies, and the present one still signs. Replicas restart.
    AnnounceSecret,
    /// The next secret signs.
    ChangeSecret,
    /// The share of users who get JWTs.
    Rollout(i64),
    /// A sweep.
    Sweep,
}

/// The state of the service as its clients' network sees it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) dying: Option<usize>,
    pub(crate) dead: Option<usize>,
    pub(crate) database: Database,
}

impl World {
    pub(crate) const fn new() -> Self {
        Self { dying: None, dead: None, database: Database::Up }
    }

    /// Follows a turn.
    pub(crate) const fn follow(&mut self, turn: Turn) {
        match turn {
            Turn::Kill(replica) => self.dying = Some(replica),
            Turn::Gone(replica) => (self.dying, self.dead) = (None, Some(replica)),
            Turn::Start(_) => self.dead = None,
            Turn::Database(database) => self.database = database,
            Turn::Restart(_)
            | Turn::AnnounceSecret
            | Turn::ChangeSecret
            | Turn::Remember(_)
            | Turn::Forget(_)
            | Turn::Rollout(_)
            | Turn::Sweep => {}
        }
    }
}

/// Returns the turns of a day.
pub(crate) fn turns_of(day: u32) -> Vec<(Timestamp, Turn)> {
    let midnight = START + DAY * day;
    let at = |hours: u32, minutes: u32| midnight + HOUR * hours + MINUTE * minutes;
    let victim = day as usize % COMMON_REPLICAS;
    let failover = at(11, 30);
    let mut turns = vec![
        (at(0, 0), Turn::Rollout(0)),
        (at(9, 40), Turn::Restart(0)),
        (at(9, 41), Turn::Restart(1)),
        (at(9, 42), Turn::Restart(2)),
        (at(10, 30), Turn::Kill(victim)),
        (at(10, 30) + SECOND * 5, Turn::Gone(victim)),
        (at(10, 40), Turn::Start(victim)),
        (failover, Turn::Database(Database::AnswersLost)),
        (failover + SECOND * 3, Turn::Database(Database::Down)),
        (failover + SECOND * 63, Turn::Database(Database::Up)),
        (at(12, 30), Turn::Rollout(30)),
        (at(14, 0), Turn::Rollout(100)),
        (at(14, 30), Turn::AnnounceSecret),
        (at(14, 40), Turn::ChangeSecret),
        (at(17, 0), Turn::Rollout(0)),
    ];
    for lost in [5, 60] {
        let lost_from = at(15, 10) - Duration::from_secs(lost);
        turns.push((lost_from, Turn::Remember(lost)));
        turns.push((at(15, 10), Turn::Forget(lost)));
    }
    turns.extend((0..24).map(|hour| (at(hour, 20), Turn::Sweep)));
    turns.sort_by_key(|(at, _)| *at);
    turns
}
