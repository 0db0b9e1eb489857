//! The primary of a cluster of three nodes dies while its standbys are half a second behind.
//! Patroni promotes one of them, and synchronous replication has kept every session.

use std::process::Command;
use std::time::{Duration, Instant};

use test_support::measured::measured;
use test_support::script::Script;
use test_support::tools::root;
use tokio::task::{JoinSet, block_in_place};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::replica;
use crate::user::{Client, User, client};

/// The shortest times that Patroni accepts. Its defaults fail over ten seconds later.
const TIMING: [&str; 6] = ["--ttl", "20", "--loop-wait", "5", "--retry-timeout", "5"];
/// How long a failover may take: the leader's key expires after 20 seconds, and the machine is busy.
const FAILOVER: Duration = Duration::from_mins(1);
/// Longer than the time between a commit and its answer, so that no copy of a request is late.
const WINDOW_SECONDS: &str = "4";
const USERS: usize = 20;

/// A database cluster of `scripts/cluster`, which ends with its input.
#[derive(Debug)]
struct Cluster {
    script: Script,
    url: String,
}

impl Cluster {
    fn start(replication: &[&str]) -> Self {
        let mut command = Command::new(root().join("scripts/cluster"));
        let mut script = Script::start(command.args(["--yes"]).args(replication).args(TIMING));
        let url = await_line(&mut script, "DATABASE_URL=");
        Self { script, url }
    }

    /// Kills the primary. Its standbys have received nothing for half a second.
    fn kill_behind(&mut self) {
        self.script.send("lag");
        await_line(&mut self.script, "lag: done");
    }
}

/// Waits for a line that begins like that, and returns its rest.
fn await_line(script: &mut Script, beginning: &str) -> String {
    loop {
        let line = script.receive();
        assert!(!line.is_empty(), "scripts/cluster ended before `{beginning}`");
        if let Some(rest) = line.strip_prefix(beginning) {
            return rest.trim_end().to_owned();
        }
    }
}

/// Returns whether the service could not answer. Any other error is a refusal.
fn is_outage(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}

/// Logs users in until `stop`. Returns those whose login was acknowledged.
async fn arrive(client: Client, stop: CancellationToken) -> Vec<User> {
    let mut users = Vec::new();
    while !stop.is_cancelled() {
        match User::log_in(&client, &format!("user-{}", users.len())).await {
            Ok(user) => users.push(user),
            Err(status) => assert!(is_outage(&status), "a login was refused: {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    users
}

/// Refreshes until `stop`, and repeats with the same token if there is no answer.
async fn work(mut user: User, stop: CancellationToken) -> Vec<User> {
    while !stop.is_cancelled() {
        if let Err(status) = user.refresh().await {
            assert!(is_outage(&status), "a user was logged out: {status:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    vec![user]
}

/// Waits until a login is acknowledged. Returns how long that took.
async fn until_a_login(client: &Client) -> Duration {
    let began = Instant::now();
    while let Err(status) = User::log_in(client, "waiting").await {
        assert!(began.elapsed() < FAILOVER, "there is no primary: {status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    began.elapsed()
}

/// Returns how many users are refused.
async fn count_refused(users: Vec<User>) -> usize {
    let mut refused = 0;
    for mut user in users {
        if let Err(status) = user.refresh().await {
            assert!(!is_outage(&status), "the service does not answer: {status:?}");
            refused += 1;
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn synchronous_replication_loses_no_session_with_its_primary() {
    let mut cluster = block_in_place(|| Cluster::start(&["--synchronous"]));
    let setup =
        replica::setup(&cluster.url).set("REFRESH_CONCURRENCY_WINDOW_SECONDS", WINDOW_SECONDS);
    let replicas = [replica::ready(&setup).await, replica::ready(&setup.on_fixed_ports()).await];
    let clients = replicas.each_ref().map(|replica| client(replica.grpc().port()));
    let stop = CancellationToken::new();
    let mut at_work = JoinSet::new();
    for at in 0..USERS {
        let user = User::log_in(&clients[at % 2], &format!("worker-{at}")).await.unwrap();
        at_work.spawn(work(user, stop.clone()));
    }
    for client in &clients {
        at_work.spawn(arrive(client.clone(), stop.clone()));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;

    block_in_place(|| cluster.kill_behind());
    let outage = until_a_login(&clients[0]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.cancel();
    let users: Vec<_> = at_work.join_all().await.into_iter().flatten().collect();

    let acknowledged = users.len();
    assert!(acknowledged > USERS + 100, "only {acknowledged} logins are too few");
    let refused = count_refused(users).await;
    measured(&format!(
        "the primary of a cluster was killed: no login for {outage:?}, and {refused} of \
         {acknowledged} sessions were lost"
    ));
    assert_eq!(refused, 0, "of {acknowledged} acknowledged sessions, {refused} were lost");
}
