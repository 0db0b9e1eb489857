//! Continuous traffic: every user's access token is checked in a steady rhythm, and refreshed after
//! every twentieth check. Nothing is retried, and every refusal is recorded.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use test_support::http::Http;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::user::{Held, User};

/// How often each user's token is checked.
const RHYTHM: Duration = Duration::from_millis(200);
/// How often it is checked before it is renewed.
const CHECKS_A_RENEWAL: usize = 20;
/// How long it may take on a busy machine until all users have refreshed.
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(1);

/// The state that the users' tasks share.
#[derive(Debug)]
struct Shared {
    /// Ends the traffic when it is cancelled.
    stop: CancellationToken,
    /// The auth-server that moves sessions, once it can.
    auth_server: Mutex<Option<Http>>,
    /// Each user's id and tokens.
    held: Vec<Mutex<Option<(String, Held)>>>,
    tally: Mutex<Tally>,
}

/// The results of the traffic.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) checks: u64,
    pub(crate) renewals: u64,
    pub(crate) refused: Vec<String>,
}

/// Users whose tasks are running.
#[derive(Debug)]
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    users: JoinSet<User>,
}

impl Traffic {
    /// Starts users with the tokens from before the migration.
    pub(crate) fn begin(users: Vec<User>) -> Self {
        let shared = Arc::new(Shared {
            stop: CancellationToken::new(),
            auth_server: Mutex::new(None),
            held: users.iter().map(|_| Mutex::new(None)).collect(),
            tally: Mutex::default(),
        });
        let work = users.into_iter().enumerate().map(|(n, user)| work(n, user, shared.clone()));
        let users = work.collect();
        Self { shared, users }
    }

    /// From now on, all users move their sessions through that auth-server.
    pub(crate) fn move_over(&self, auth_server: Http) {
        *self.shared.auth_server.lock().unwrap() = Some(auth_server);
    }

    /// Waits until all users hold tokens that they asked for after `since`. Returns their ids and
    /// their tokens.
    pub(crate) async fn until_all_have_renewed(&self, since: Instant) -> Vec<(String, Held)> {
        let deadline = Instant::now() + STATEMENT_TIMEOUT;
        loop {
            let held = self.shared.held.iter().map(|held| held.lock().unwrap().clone());
            let fresh: Vec<_> = held.flatten().filter(|(_, held)| held.asked_at > since).collect();
            if fresh.len() == self.shared.held.len() {
                return fresh;
            }
            assert!(self.refused().is_empty(), "{:?}", self.refused());
            assert!(Instant::now() < deadline, "only {} have renewed", fresh.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn refused(&self) -> Vec<String> {
        self.shared.tally.lock().unwrap().refused.clone()
    }

    /// Ends the traffic. Returns all users in order, and the results.
    pub(crate) async fn end(self) -> (Vec<User>, Tally) {
        self.shared.stop.cancel();
        let users = self.users.join_all().await;
        let tally = std::mem::take(&mut *self.shared.tally.lock().unwrap());
        (users, tally)
    }
}

impl Shared {
    fn did(&self, done: Result<(), String>, count: impl Fn(&mut Tally)) {
        let mut tally = self.tally.lock().unwrap();
        match done {
            Ok(()) => count(&mut tally),
            Err(why) => tally.refused.push(why),
        }
    }

    fn auth_server(&self) -> Option<Http> {
        self.auth_server.lock().unwrap().clone()
    }
}

/// Returns the rhythm of one of many users, who start at different times.
pub(crate) fn rhythm_of(number: usize, of: usize, period: Duration) -> Interval {
    let offset = period * u32::try_from(number).unwrap() / u32::try_from(of).unwrap();
    let mut rhythm = interval_at(tokio::time::Instant::now() + offset, period);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rhythm
}

/// Runs one user's task. The users are at different points of it.
async fn work(number: usize, mut user: User, shared: Arc<Shared>) -> User {
    let mut rhythm = rhythm_of(number, shared.held.len(), RHYTHM);
    for step in number.. {
        tokio::select! {
            () = shared.stop.cancelled() => break,
            _ = rhythm.tick() => {}
        }
        if user.held().is_none() {
            let checked = user.check_what_was_there_before().await;
            shared.did(checked, |tally| tally.checks += 2);
            let Some(auth_server) = shared.auth_server() else { continue };
            shared.did(user.move_over(&auth_server).await, |tally| tally.renewals += 1);
        } else if step % (CHECKS_A_RENEWAL + 1) == 0 {
            shared.did(user.renew().await, |tally| tally.renewals += 1);
        } else {
            shared.did(user.check_access_token().await, |tally| tally.checks += 1);
        }
        let held = user.held().map(|held| (user.member.user_id.clone(), held.clone()));
        *shared.held[number].lock().unwrap() = held;
    }
    user
}
