//! The whole migration: 0 % on the first day, then 10, 25, 50, 100 %, back to 0, and 100 again.

use std::time::{Duration, Instant};

use test_support::measured::measured;
use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use token_authority::transport::proto::v1::AuthMethod;

use crate::auth_server::{AuthServer, Member, SECRET};
use crate::figures::{Figures, Window};
use crate::named::{self, NAMED};
use crate::quickstart::{self, Way};
use crate::traffic::{Tally, Traffic};
use crate::user::{Renewal, User, bucket};

/// How many users have a session in Better Auth.
const USERS: usize = 200;
/// How long both figures are measured: long enough for one refresh of every user.
const WINDOW: Duration = Duration::from_secs(5);
/// The percentages, one step after another.
const STEPS: [u8; 6] = [10, 25, 50, 100, 0, 100];
/// The last percentage, at which the service's own count of users is checked.
const AT_LAST: u8 = 50;

/// The product's deployment.
struct Product {
    deployment: Setup,
    replicas: Vec<Replica>,
    database: String,
}

impl Product {
    /// Starts three replicas beside a running auth-server.
    async fn start(database: String) -> Self {
        let deployment = Setup::on(&database)
            .quiet()
            .set("JWT_ROLLOUT_PERCENTAGE", "0")
            .set("LEGACY_SESSIONS", "better-auth")
            .set("BETTER_AUTH_SECRET", SECRET)
            // A short window, so that each refresh rotates.
            .set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "1");
        let mut replicas = Vec::new();
        for _ in 0..3 {
            replicas.push(deployment.start().await);
        }
        Self { deployment, replicas, database }
    }

    fn figures(&self) -> Figures {
        Figures::of(&self.replicas)
    }

    /// Creates a user whose backend is connected to one replica, and who refreshes at the others.
    fn user(&self, number: usize, member: Member) -> User {
        let at = |n: usize| &self.replicas[n % self.replicas.len()];
        let renewals = [number + 1, number + 2].map(|n| {
            if number.is_multiple_of(2) {
                Renewal::Grpc(at(n).tokens())
            } else {
                Renewal::Cookie(at(n).http())
            }
        });
        User::new(member, at(number).tokens(), renewals.into())
    }

    /// Runs `rollout set`. Returns the time by which it was in effect on every replica.
    async fn set(&self, percentage: u8) -> Instant {
        let (command, text) = (self.deployment.clone(), percentage.to_string());
        let set = move || command.succeed(&["rollout", "set", &text]);
        tokio::task::spawn_blocking(set).await.unwrap();
        self.until("rollout_percentage", percentage.into()).await;
        Instant::now()
    }

    /// Waits until every replica reports that value.
    async fn until(&self, series: &str, expected: u32) {
        let deadline = Instant::now() + Duration::from_mins(1);
        let expected = f64::from(expected);
        while self.figures().each(series).iter().any(|value| (value - expected).abs() > 0.1) {
            let told = self.figures().each(series);
            assert!(Instant::now() < deadline, "{series}: {told:?}, not {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the live sessions with JWTs and with session tokens, as `rollout show` prints them.
    fn shown(&self) -> (usize, usize) {
        let shown = self.deployment.succeed(&["rollout", "show"]);
        let sums = shown.lines().last().unwrap().trim().strip_prefix("all").unwrap();
        let sums: Vec<_> = sums.split_whitespace().map(|sum| sum.parse().unwrap()).collect();
        (sums[0], sums[1])
    }

    /// Returns what is counted in the next seconds.
    async fn watch(&self) -> Window {
        let before = self.figures();
        tokio::time::sleep(WINDOW).await;
        before.until(self.figures())
    }

    /// Takes a step, and compares the users' tokens with the percentage. `logins` counts the named
    /// users so far, with JWTs and with session tokens.
    async fn step(&self, traffic: &Traffic, percentage: u8, logins: &mut (usize, usize)) {
        let begun = Instant::now();
        let in_force = self.set(percentage).await;
        let held = traffic.until_all_have_renewed(in_force).await;
        for (user_id, held) in &held {
            let is_in = bucket(user_id) < percentage;
            assert_eq!(held.method == AuthMethod::Jwt, is_in, "{percentage} %: {user_id}");
        }
        let jwts = held.iter().filter(|(_, held)| held.method == AuthMethod::Jwt).count();

        let named_jwts = named::log_in(&self.replicas, percentage).await;
        assert_near(named_jwts, NAMED, percentage);
        logins.0 += named_jwts;
        logins.1 += NAMED - named_jwts;
        assert_eq!(self.shown(), (jwts + logins.0, USERS - jwts + logins.1));
        measured(&format!(
            "deployment: at {percentage:>3} % JWTs for {jwts:>3} of {USERS} users, {named_jwts:>4} of \
             {NAMED} named ones; {:.1} s",
            begun.elapsed().as_secs_f64()
        ));
    }

    /// Checks that no request was refused, by the users' own records and by the service's counters.
    async fn hold_to_account(&self, users: &mut [User], tally: &Tally) {
        assert!(tally.refused.is_empty(), "{:?}", tally.refused);
        measured(&format!(
            "deployment: {} validations and {} renewals, none refused",
            tally.checks, tally.renewals
        ));
        assert!(tally.checks > 100 * USERS as u64 && tally.renewals > 7 * USERS as u64);
        let figures = self.figures();
        for (series, count) in figures.series("token_refresh_errors_total") {
            assert!(count < 0.5, "{series} {count}");
        }
        let answers = figures.series("rpc_server_duration_seconds_count");
        assert!(answers.len() > 3);
        for (series, count) in answers {
            assert!(series.contains("code=\"0\"") || count < 0.5, "{series} {count}");
        }
        // The sessions from before the migration still belong to the auth-server, and are valid.
        for user in users {
            user.check_what_was_there_before().await.unwrap();
        }
    }

    /// Sets the last percentage and lets all users refresh. Returns how many users then have a
    /// session with a JWT: every named user has one from an earlier step.
    async fn renew_all_at_last(&self, users: &mut [User]) -> u32 {
        self.set(AT_LAST).await;
        for user in users.iter_mut() {
            user.renew().await.unwrap();
        }
        let jwts = users.iter().filter(|user| user.held().unwrap().method == AuthMethod::Jwt);
        u32::try_from(NAMED + jwts.count()).unwrap()
    }
}

/// Checks that the share is within three points of the percentage.
fn assert_near(part: usize, whole: usize, percentage: u8) {
    let expected = whole * usize::from(percentage) / 100;
    assert!(part.abs_diff(expected) <= whole * 3 / 100, "{part} of {whole}, not {percentage} %");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_moves_to_jwts_and_nobody_is_refused() {
    let cluster = Cluster::start();
    let database = cluster.url(&cluster.make_database().await);
    let before = AuthServer::before_the_move(&database);
    let members = before.sign_up(USERS).await;

    // The first day: all existing sessions are valid, and the service has not issued any token yet.
    let product = Product::start(database).await;
    let users = members.into_iter().enumerate();
    let traffic = Traffic::begin(users.map(|(n, member)| product.user(n, member)).collect());
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(before);
    let auth_server = AuthServer::that_moves(&product.database, &product.replicas);
    traffic.move_over(auth_server.http());
    let held = traffic.until_all_have_renewed(Instant::now()).await;
    assert!(held.iter().all(|(_, held)| held.method == AuthMethod::Session));
    let by_sessions = product.watch().await;

    let mut logins = (0, 0);
    for percentage in STEPS {
        product.step(&traffic, percentage, &mut logins).await;
    }
    let by_jwts = product.watch().await;
    let (mut users, tally) = traffic.end().await;
    product.hold_to_account(&mut users, &tally).await;

    let checks = quickstart::checks(&users);
    let counted = product.renew_all_at_last(&mut users).await;
    let secret = product.deployment.secret();
    let (quickstart, ()) = tokio::join!(
        quickstart::measure(&product.database, &secret, checks),
        product.until("jwt_auth_users_total", counted)
    );
    compare(&by_sessions, &by_jwts, &quickstart);
}

/// Compares the quickstart's two main figures with ours.
fn compare(by_sessions: &Window, by_jwts: &Window, quickstart: &[Way; 2]) {
    let ours = [(by_sessions, "session"), (by_jwts, "jwt")];
    for ((window, method), (percentage, its)) in
        ours.into_iter().zip([0, 100].iter().zip(quickstart))
    {
        let (above, up_to) = window.p95(method);
        measured(&format!(
            "deployment: at {percentage:>3} %, {:.0} validations by {method}: {:.3} queries each, p95 \
             {above:.0} to {up_to:.0} µs; FastAPI with PyJWT: {:.3} queries, p95 {:.0} µs",
            window.validations(),
            window.queries_a_validation(),
            its.queries_a_validation,
            its.p95
        ));
    }
    let (before, after) = (by_sessions.queries_a_validation(), by_jwts.queries_a_validation());
    assert!(after <= before / 10.0, "{before:.3} queries a validation became {after:.3}");
    let (above, up_to) = by_jwts.p95("jwt");
    assert!(up_to <= 1_000.0, "p95 of validations by JWT: {above} to {up_to} µs");
}
