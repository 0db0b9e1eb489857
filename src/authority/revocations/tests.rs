//! A revoked token stays revoked, over any sequence of settings, clocks and replicas.
//!
//! The replicas share a real store. Each has a policy and a clock of its own, which may differ from
//! the database's clock by [`MAX_CLOCK_SKEW`]. Only the database's clock is simulated: the test reads
//! the feed as [`follow`](super::follow) does, and confirms it with the simulated time.

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::authority::sweeper::{self, Pace};
use crate::authority::{Authority, Issue, TokenPolicy, Validation};
use crate::clock::{ManualClock, SeededEntropy};
use crate::keys::{KeyRing, Secret};
use crate::store::rows::Position;
use crate::store::{Rows, Store, sqlite};
use crate::token::client::ClientInfo;
use crate::token::grant::Grant;
use crate::token::id::UserId;
use crate::token::lifetimes::Lifetimes;
use crate::token::rotation::Policy;

const START: Timestamp = Timestamp::from_seconds(1_750_000_000);
const REPLICAS: usize = 3;
const SECOND: Duration = Duration::from_secs(1);

/// What a test does next. A number picks a replica or a session.
#[derive(Debug, Clone)]
enum Step {
    /// A replica starts again with these minutes of lifetime, window seconds and clock offset.
    Restart(usize, u64, u64, i64),
    /// A replica's clock is set to that offset.
    SetClock(usize, i64),
    Issue(usize),
    Refresh(usize, usize),
    Revoke(usize, usize),
    RevokeUser(usize, usize),
    /// Minutes go by.
    Wait(u64),
    Sweep(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let lifetime = prop_oneof![Just(1_u64), Just(10), Just(30), Just(1440), 1_u64..=1440];
    let window = prop_oneof![Just(0_u64), Just(30), Just(3600)];
    prop_oneof![
        2 => (0..REPLICAS, lifetime, window, offset())
            .prop_map(|(replica, life, window, offset)| Step::Restart(replica, life, window, offset)),
        1 => (0..REPLICAS, offset()).prop_map(|(replica, offset)| Step::SetClock(replica, offset)),
        2 => (0..REPLICAS).prop_map(Step::Issue),
        3 => (0..REPLICAS, any::<usize>()).prop_map(|(replica, at)| Step::Refresh(replica, at)),
        3 => (0..REPLICAS, any::<usize>()).prop_map(|(replica, at)| Step::Revoke(replica, at)),
        1 => (0..REPLICAS, any::<usize>()).prop_map(|(replica, at)| Step::RevokeUser(replica, at)),
        3 => prop_oneof![Just(0_u64), 1_u64..40, 1_u64..1500].prop_map(Step::Wait),
        1 => (0..REPLICAS).prop_map(Step::Sweep),
    ]
}

/// Seconds by which a clock differs from the database's.
fn offset() -> impl Strategy<Value = i64> {
    let most = i64::try_from(MAX_CLOCK_SKEW.as_secs()).unwrap();
    prop_oneof![Just(0), Just(-most), Just(most), Just(-2400), -most..=most]
}

struct Replica {
    authority: Authority,
    store: Arc<Store>,
    clock: ManualClock,
    offset: i64,
}

struct Login {
    user: String,
    session_id: SessionId,
    refresh_token: String,
    access_tokens: Vec<String>,
    revoked: bool,
}

struct World {
    rows: Arc<dyn Rows>,
    /// The database's clock.
    now: Timestamp,
    replicas: Vec<Replica>,
    logins: Vec<Login>,
    seed: u64,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows: Arc<dyn Rows> = sqlite::open(&folder.path().join("tokens.db")).await.unwrap();
        rows.migrate().await.unwrap();
        let (replicas, logins) = (Vec::new(), Vec::new());
        let mut world = Self { rows, now: START, replicas, logins, seed: 1, _folder: folder };
        for _ in 0..REPLICAS {
            let replica = world.replica(30, 30, 0);
            world.replicas.push(replica);
        }
        world.read_feed().await;
        world
    }

    fn replica(&mut self, minutes: u64, window: u64, offset: i64) -> Replica {
        let rotation = Policy {
            rotation: true,
            window: Duration::from_secs(window),
            refresh_lifetime: Duration::from_hours(24),
            session_max_lifetime: Duration::from_hours(30 * 24),
        };
        let access_lifetime = Duration::from_mins(minutes);
        let leeway = Duration::ZERO;
        let policy = TokenPolicy { rotation, access_lifetime, issuer: None, leeway };
        let retention = policy.revocation_retention();
        let store = Arc::new(Store::new(Arc::clone(&self.rows), rotation, retention));
        let clock = ManualClock::at(shifted(self.now, offset));
        self.seed += 1;
        let entropy = Arc::new(SeededEntropy::new(self.seed << 32));
        let settings = RevocationSettings::default();
        let revocations = Arc::new(Revocations::new(settings, Arc::new(clock.clone()), &*entropy));
        let ring = Arc::new(KeyRing::hs256(&Secret::new([7; 32]), &[]));
        let authority = Authority::new(
            Arc::clone(&store),
            ring,
            Arc::new(clock.clone()),
            entropy,
            policy,
            revocations,
        );
        Replica { authority, store, clock, offset }
    }

    /// Every replica reads the whole feed and drops what has ended, as it does within a second.
    async fn read_feed(&mut self) {
        for replica in &self.replicas {
            let revocations = replica.authority.revocations();
            let beginning = Position::before(Timestamp::EPOCH);
            let page = replica.store.feed(beginning, revocations.dropped_before(), 10_000).await;
            for recorded in page.unwrap().recorded {
                revocations.record(recorded);
            }
            let confirmed = Confirmed { as_of: self.now, complete_to: Timestamp::EPOCH };
            revocations.confirm(confirmed, replica.clock.now());
            revocations.forget_ended();
        }
    }

    async fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
        for replica in &self.replicas {
            replica.clock.advance(duration);
        }
        self.read_feed().await;
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Restart(at, minutes, window, offset) => {
                self.replicas[at] = self.replica(minutes, window, offset);
            }
            Step::SetClock(at, offset) => {
                let replica = &mut self.replicas[at];
                replica.clock.set(shifted(self.now, offset));
                replica.offset = offset;
            }
            Step::Issue(at) => self.issue(at).await,
            Step::Refresh(at, login) => self.refresh(at, login).await,
            Step::Revoke(at, login) => self.revoke(at, login).await,
            Step::RevokeUser(at, login) => self.revoke_user(at, login).await,
            Step::Wait(minutes) => self.wait(Duration::from_mins(minutes)).await,
            Step::Sweep(at) => {
                let Replica { store, clock, .. } = &self.replicas[at];
                sweeper::sweep(store, clock, Pace::default()).await.unwrap();
            }
        }
        self.wait(SECOND).await;
    }

    async fn issue(&mut self, at: usize) {
        let user = format!("user-{}", self.logins.len() % 2);
        let issue = Issue {
            user_id: UserId::new(user.clone()).unwrap(),
            grant: Grant::default(),
            client: ClientInfo::default(),
            lifetimes: Lifetimes::default(),
            persistent: true,
            request_id: None,
            caller: "test".into(),
        };
        let tokens = self.replicas[at].authority.issue(issue).await.unwrap();
        self.logins.push(Login {
            user,
            session_id: tokens.session_id,
            refresh_token: tokens.refresh_token,
            access_tokens: vec![tokens.access_token],
            revoked: false,
        });
    }

    async fn refresh(&mut self, at: usize, login: usize) {
        let index = login % self.logins.len().max(1);
        let Some(login) = self.logins.get_mut(index) else { return };
        // A clock that is ahead may call the session expired.
        if let Ok(tokens) = self.replicas[at].authority.refresh(&login.refresh_token, "").await {
            assert!(!login.revoked, "a revoked session was refreshed");
            login.refresh_token = tokens.refresh_token;
            login.access_tokens.push(tokens.access_token);
        }
    }

    async fn revoke(&mut self, at: usize, login: usize) {
        let index = login % self.logins.len().max(1);
        let Some(login) = self.logins.get_mut(index) else { return };
        self.replicas[at].authority.revoke_session(login.session_id, "test").await.unwrap();
        login.revoked = true;
    }

    async fn revoke_user(&mut self, at: usize, login: usize) {
        let index = login % self.logins.len().max(1);
        let Some(user) = self.logins.get(index).map(|login| login.user.clone()) else { return };
        let user_id = UserId::new(user.clone()).unwrap();
        self.replicas[at].authority.revoke_user_sessions(user_id, None, "test").await.unwrap();
        for login in self.logins.iter_mut().filter(|login| login.user == user) {
            login.revoked = true;
        }
    }

    /// No replica accepts an access token of a revoked session.
    async fn check(&self) -> Result<(), TestCaseError> {
        for login in self.logins.iter().filter(|login| login.revoked) {
            for token in &login.access_tokens {
                for (at, replica) in self.replicas.iter().enumerate() {
                    let validation = replica.authority.validate(token, None).await.unwrap();
                    let active = matches!(validation, Validation::Active(_));
                    prop_assert!(!active, "replica {} ({} s) accepts it", at, replica.offset);
                }
            }
        }
        Ok(())
    }
}

fn shifted(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros() + seconds * 1_000_000)
}

fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    Runtime::new().unwrap().block_on(async {
        let mut world = World::new().await;
        for step in steps {
            world.take(step).await;
            world.check().await?;
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]
    #[test]
    fn no_revoked_token_becomes_active_again(steps in prop::collection::vec(step(), 4..28)) {
        play(steps)?;
    }
}

#[test]
fn a_shorter_lifetime_does_not_revive_a_token() {
    play(vec![
        Step::Restart(0, 10, 30, 0),
        Step::Issue(0),
        Step::Restart(0, 1, 30, 0),
        Step::Revoke(0, 0),
        Step::Wait(8),
        Step::Restart(1, 1, 30, 0),
    ])
    .unwrap();
}

#[test]
fn a_revoker_with_other_settings_does_not_revive_a_token() {
    let day = 1440;
    play(vec![
        Step::Restart(0, day, 30, 0),
        Step::Issue(0),
        Step::Restart(1, 30, 30, 0),
        Step::RevokeUser(1, 0),
        Step::Wait(60),
        Step::Sweep(1),
        Step::Wait(22 * 60),
        Step::Restart(2, 30, 30, 0),
    ])
    .unwrap();
}

#[test]
fn a_revoker_whose_clock_is_slow_or_fast_revokes_all_the_same() {
    for offset in [-2400, 2400, -3600, 3600] {
        play(vec![
            Step::Issue(0),
            Step::Restart(1, 30, 30, offset),
            Step::Revoke(1, 0),
            Step::Wait(25),
            Step::Sweep(1),
            Step::Restart(2, 30, 30, -offset),
        ])
        .unwrap();
    }
}

#[test]
fn a_clock_that_was_ahead_for_a_while_does_not_revive_a_token() {
    play(vec![
        Step::Issue(0),
        Step::Revoke(0, 0),
        Step::SetClock(0, 3600),
        Step::Wait(1),
        Step::Sweep(0),
        Step::SetClock(0, -3600),
    ])
    .unwrap();
}
