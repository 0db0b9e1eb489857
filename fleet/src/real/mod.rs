//! The real service: the library's authorities and stores over one database, without its ports.
//!
//! The cookie is set if the answer says [`Storing::Due`], as `src/transport/http/auth.rs` does for a
//! browser with one cookie.

pub(crate) mod clock;
pub(crate) mod database;
mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use test_support::postgres::Cluster;
use token_authority::authority::events::Refreshing;
use token_authority::authority::revocations::follow::follow;
use token_authority::authority::rollout::RolloutOrder;
use token_authority::authority::{
    AuthMethod, Authority, AuthorityError, Hybrid, Issue, RevocationSettings, Revocations,
    RolloutControl, Storing, TokenEvents, TokenPolicy, Validation, sweeper,
};
use token_authority::clock::{SeededEntropy, Timestamp, draw};
use token_authority::keys::{KeyRing, Secret, SessionTokenKeys};
use token_authority::store::{Rows, Store, postgres, sqlite};
use token_authority::token::client::ClientInfo;
use token_authority::token::grant::Grant;
use token_authority::token::id::UserId;
use token_authority::token::lifetimes::Lifetimes;
use token_authority::token::rollout::{Percentage, Rollout};
use token_authority::token::rotation::{Policy, Verdict};
use token_authority::token::session_token;
use tokio::task::JoinHandle;

use crate::group::{APART, COMMON_REPLICAS, lost_commits};
use crate::plant::Plant;
use crate::service::{Answer, Call, Service};
use crate::settings::{ACCESS_LIFETIME, MAX_LIFETIME, REFRESH_LIFETIME, START, WINDOW};
use crate::skew::skew_of;
use crate::world::Turn;
use clock::{ReplicaClock, TrueTime, at};
use database::{Database, Memory};

/// How much memory a replica's verification cache may use.
const CACHE: u64 = 16 << 20;

/// The databases that a run can use. Each is deleted with the run.
#[derive(Debug)]
pub(crate) enum Backing {
    Sqlite(tempfile::TempDir),
    Postgres(Cluster),
}

/// A running replica.
#[derive(Debug)]
struct Replica {
    authority: Authority,
    store: Arc<Store>,
    clock: Arc<ReplicaClock>,
    rollout: Arc<RolloutControl>,
    following: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// The real service.
#[derive(Debug)]
pub(crate) struct Ours {
    plant: Plant,
    time: TrueTime,
    entropy: Arc<SeededEntropy>,
    verdicts: Arc<Verdicts>,
    /// The secrets. The first one signs.
    secrets: Vec<Secret>,
    databases: Vec<Arc<Database>>,
    replicas: Vec<Option<Replica>>,
    /// How many receipts each replica was to store.
    receipts: Vec<AtomicU64>,
    _backing: Backing,
}

impl Ours {
    /// Starts the replicas over an SQLite file in memory or over a new Postgres.
    pub(crate) async fn start(backing: Backing, plant: Plant, seed: u64) -> Self {
        let rows: Arc<dyn Rows> = match &backing {
            Backing::Sqlite(folder) => sqlite::open(&folder.path().join("fleet.db")).await.unwrap(),
            Backing::Postgres(cluster) => {
                postgres::connect(postgres::Options::new(cluster.url("postgres"))).unwrap()
            }
        };
        rows.migrate().await.unwrap();
        let entropy = Arc::new(SeededEntropy::new(seed));
        let count = COMMON_REPLICAS + 2 * APART.len();
        let memory = Arc::new(Memory::default());
        let database = |replica| {
            let memory = Arc::clone(&memory);
            Arc::new(Database::new(Arc::clone(&rows), plant, lost_commits(replica), memory))
        };
        let databases: Vec<_> = (0..count).map(database).collect();
        let mut ours = Self {
            plant,
            time: TrueTime::default(),
            secrets: vec![Secret::new(draw::<32>(&*entropy))],
            entropy,
            verdicts: Arc::default(),
            databases,
            replicas: Vec::new(),
            receipts: (0..count).map(|_| AtomicU64::new(0)).collect(),
            _backing: backing,
        };
        ours.time.set(START);
        for replica in 0..count {
            let started = ours.replica(replica).await;
            ours.replicas.push(Some(started));
        }
        ours
    }

    /// Starts a replica with an empty memory.
    async fn replica(&self, number: usize) -> Replica {
        let rotation = self.plant.policy(Policy {
            rotation: true,
            window: WINDOW,
            refresh_lifetime: REFRESH_LIFETIME,
            session_max_lifetime: MAX_LIFETIME,
        });
        let policy = TokenPolicy {
            rotation: self.plant.policy_for_receipts(rotation),
            access_lifetime: ACCESS_LIFETIME,
            issuer: None,
            // The clocks of the group's replicas differ, and so may those of minter and verifier.
            leeway: Duration::from_secs(5),
        };
        let rows: Arc<dyn Rows> = self.databases[number].clone();
        let retention = policy.revocation_retention();
        let store = Arc::new(Store::new(Arc::clone(&rows), rotation, retention));
        let clock = Arc::new(ReplicaClock { time: self.time.clone(), skew: skew_of(number) });
        let settings = RevocationSettings::default();
        let revocations = Arc::new(Revocations::new(settings, clock.clone(), &*self.entropy));
        let following = follow(Arc::clone(&store), Arc::clone(&revocations), Arc::default());
        let following = tokio::spawn(following);
        revocations.loaded().await;
        let rollout = Arc::new(RolloutControl::new(rows, clock.clone(), Rollout::COMPLETE));
        rollout.read().await.unwrap();
        let (signing, others) = self.secrets.split_first().unwrap();
        let ring = Arc::new(KeyRing::hs256(signing, others));
        let keys = SessionTokenKeys::new(signing, others);
        let authority = Authority::new(
            Arc::clone(&store),
            ring,
            clock.clone(),
            self.entropy.clone(),
            policy,
            revocations,
        )
        .with_session_tokens(Hybrid { rollout: Arc::clone(&rollout), keys })
        .with_verification_cache(CACHE)
        .with_events(self.verdicts.clone());
        Replica { authority, store, clock, rollout, following }
    }

    async fn restart(&mut self, number: usize) {
        self.replicas[number] = None;
        self.replicas[number] = Some(self.replica(number).await);
    }

    async fn restart_all(&mut self) {
        for number in 0..self.replicas.len() {
            self.restart(number).await;
        }
    }

    fn authority(&self, call: Call) -> Option<&Authority> {
        self.replicas[call.replica].as_ref().map(|replica| &replica.authority)
    }

    async fn roll_out(&self, percent: i64) {
        let percentage = Some(Percentage::new(percent).unwrap());
        let order = RolloutOrder { percentage, jwt_enabled: None };
        let mut replicas = self.replicas.iter().flatten();
        replicas.next().unwrap().rollout.set(order, "fleet").await.unwrap();
        for replica in replicas {
            replica.rollout.read().await.unwrap();
        }
    }

    async fn sweep(&self) {
        let replica = self.replicas.iter().flatten().next().unwrap();
        let pace = sweeper::Pace::default();
        sweeper::sweep(&replica.store, &*replica.clock, pace).await.unwrap();
    }
}

impl Service for Ours {
    type Token = Arc<str>;
    type Access = Arc<str>;

    async fn log_in(&self, call: Call, user: u32) -> Option<Arc<str>> {
        let issue = Issue {
            user_id: UserId::new(format!("user-{user}")).unwrap(),
            grant: Grant::default(),
            client: ClientInfo::default(),
            lifetimes: Lifetimes::default(),
            persistent: true,
            request_id: None,
            caller: "fleet".into(),
        };
        let tokens = at(call.at, self.authority(call)?.issue(issue)).await.ok()?;
        Some(tokens.refresh_token.into())
    }

    async fn refresh(&self, call: Call, token: &Arc<str>) -> Answer<Arc<str>, Arc<str>> {
        let Some(authority) = self.authority(call) else { return Answer::Unavailable };
        match at(call.at, authority.refresh(token, "")).await {
            Ok(tokens) => Answer::Renewed {
                stores: tokens.storing == Storing::Due || self.plant.stores_always(),
                token: tokens.refresh_token.into(),
                access: tokens.access_token.into(),
                expires_in: tokens.expires_in,
            },
            Err(AuthorityError::Refresh(why)) => Answer::Refused(why),
            Err(_) => Answer::Unavailable,
        }
    }

    async fn use_token(&self, call: Call, access: &Arc<str>) -> bool {
        let Some(replica) = &self.replicas[call.replica] else { return true };
        let validation = replica.authority.validate(access, None);
        let (validation, asked) = at(call.at, clock::counting_questions(validation)).await;
        // A session token asks the database for its session, too.
        if asked > usize::from(access.starts_with(session_token::PREFIX)) {
            let count = self.receipts[call.replica].fetch_add(1, Ordering::Relaxed) + 1;
            self.databases[call.replica].receipts(count).await;
        }
        // A backend whose question is not answered asks again. It does not refuse the token.
        validation.is_err() || matches!(validation, Ok(Validation::Active(_)))
    }

    async fn log_out(&self, call: Call, token: &Arc<str>) {
        if let Some(authority) = self.authority(call) {
            // A logout that fails is repeated by the page. Here the session simply stays.
            let _ = at(call.at, authority.revoke_refresh_token(token, "fleet")).await;
        }
    }

    async fn turn(&mut self, moment: Timestamp, turn: Turn) {
        self.time.set(moment);
        match turn {
            Turn::Kill(_) => {}
            Turn::Gone(replica) => self.replicas[replica] = None,
            Turn::Restart(replica) | Turn::Start(replica) => self.restart(replica).await,
            Turn::Database(state) => self.databases.iter().for_each(|one| one.set(state)),
            Turn::Remember(seconds) => {
                self.databases.iter().for_each(|one| one.remember(seconds));
            }
            Turn::Forget(seconds) => {
                // The first of the replicas that share the loss undoes it for all.
                for database in &self.databases {
                    database.forget(seconds).await;
                }
            }
            Turn::AnnounceSecret => {
                self.secrets.insert(1, Secret::new(draw::<32>(&*self.entropy)));
                self.secrets.truncate(3);
                self.restart_all().await;
            }
            Turn::ChangeSecret => {
                self.secrets.swap(0, 1);
                self.restart_all().await;
            }
            Turn::Rollout(percent) => self.roll_out(percent).await,
            Turn::Sweep => self.sweep().await,
        }
    }

    fn verdicts(&self) -> Vec<(&'static str, u64)> {
        let count = |at: usize| self.verdicts.0[at].load(Ordering::Relaxed);
        VERDICTS.iter().enumerate().map(|(at, (_, name))| (*name, count(at))).collect()
    }
}

const VERDICTS: [(Verdict, &str); 9] = [
    (Verdict::Rotate, "rotate"),
    (Verdict::Young, "young"),
    (Verdict::Replay, "replay"),
    (Verdict::Remint, "re-mint"),
    (Verdict::Keep, "keep"),
    (Verdict::Theft, "theft"),
    (Verdict::Revoked, "revoked"),
    (Verdict::Expired, "expired"),
    (Verdict::Invalid, "invalid"),
];

/// Counts the verdicts of all replicas.
#[derive(Debug, Default)]
struct Verdicts([AtomicU64; VERDICTS.len()]);

impl TokenEvents for Verdicts {
    fn asked_database(&self, _method: AuthMethod) {
        clock::count_question();
    }

    fn refreshed(&self, outcome: Refreshing, _took: Duration) {
        if let Refreshing::Judged(verdict) = outcome
            && let Some(at) = VERDICTS.iter().position(|(one, _)| *one == verdict)
        {
            self.0[at].fetch_add(1, Ordering::Relaxed);
        }
    }
}
