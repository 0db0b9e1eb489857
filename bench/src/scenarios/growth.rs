//! Cost against size: the same work on 10⁵, 10⁶ and 10⁷ sessions.

use std::time::{Duration, Instant};

use token_authority::transport::proto::v1::ListSessionsRequest;

use super::issue_refresh::{issuing, refreshing};
use super::{Bench, Client, places, psql, query};
use crate::load::{self, Place};
use crate::report::Report;

/// How many ended sessions a sweep gets.
const ENDED: u64 = 20_000;

const COLUMNS: [&str; 4] = ["issue", "refresh", "list", "sweep"];

pub(super) async fn run(bench: &Bench<'_>, report: &mut Report) {
    let mut first: Option<[f64; 4]> = None;
    let mut loaded = 0_u64;
    for size in bench.settings.sizes() {
        psql(&bench.database, &fill(loaded, size));
        settle(bench);
        loaded = size;
        let (cost, pages) = costs(bench, size).await;
        let bytes = query(
            &bench.database,
            "SELECT pg_total_relation_size('user_sessions') / count(*) FROM user_sessions",
        );
        let base = *first.get_or_insert(cost);
        let told: Vec<String> = (0..4)
            .map(|i| format!("{} {:.0} µs ({:.2} ×)", COLUMNS[i], cost[i], cost[i] / base[i]))
            .collect();
        report.note(format!(
            "{size} sessions: whole pages in the database's log a login, round after round since a \
             checkpoint: {}",
            pages.join(", ")
        ));
        report.note(format!(
            "{size} sessions, of the machine's time each: {}; {bytes} bytes a session with its \
             indexes (target: issue and refresh ≤ 1.25 × the smallest)",
            told.join(", ")
        ));
    }
}

fn settle(bench: &Bench<'_>) {
    psql(&bench.database, "VACUUM ANALYZE user_sessions");
    psql(&bench.database, "CHECKPOINT");
}

/// Measures the cost of a login, a refresh, a list of a user's sessions and the deletion of one
/// session. Also measures how many whole pages each login of a round added to the database's log:
/// the first change of a page after a checkpoint writes the whole page.
async fn costs(bench: &Bench<'_>, size: u64) -> ([f64; 4], Vec<String>) {
    let server = bench.server(&[]).await;
    let clients = bench.clients(&server).await;
    let (mut issues, mut refreshes, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    let mut pages = Vec::new();
    for _ in 0..bench.settings.rounds {
        let turn = bench.settings.turn();
        let before = whole_pages(bench).await;
        let logged_in = load::closed(issuing(&clients, 64), turn).await;
        let logins = logged_in.per_second * turn.as_secs_f64();
        pages.push(format!("{:.2}", (whole_pages(bench).await - before) / logins));
        issues.push(logged_in);
        refreshes.push(load::closed(refreshing(&clients, 64).await, turn).await);
        lists.push(load::closed(listing(&clients, size), turn).await);
    }
    drop(server);
    let [issue, refresh, list] =
        [&issues, &refreshes, &lists].map(|samples| 1e6 / load::median(samples).per_second);
    ([issue, refresh, list, sweep(bench).await], pages)
}

/// Returns how many whole pages the database has written to its log.
async fn whole_pages(bench: &Bench<'_>) -> f64 {
    // Its processes report their counters once a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    query(&bench.database, "SELECT wal_fpi FROM pg_stat_wal").parse().unwrap()
}

/// Lists the sessions of one user after another. Each user has three. The older half of the table
/// is left to the sweeper.
fn listing(clients: &[Client], size: u64) -> Vec<Place> {
    let users = (size / 3) as usize;
    places(clients, 64, move |client, n| {
        let user_id = format!("user-{}", users / 2 + n * 7919 % (users / 2));
        Box::pin(async move {
            let ask = ListSessionsRequest { user_id, ..Default::default() };
            let answer = client.ask(ask).await?;
            let some = !answer.sessions.is_empty();
            some.then_some(()).ok_or_else(|| "no sessions".to_owned())
        })
    })
}

/// Makes the oldest sessions end two days ago, and measures how long a server takes to delete them.
async fn sweep(bench: &Bench<'_>) -> f64 {
    psql(
        &bench.database,
        &format!(
            "UPDATE user_sessions SET expires_at = now() - interval '2 d',
                 sweep_at = now() - interval '2 d'
             WHERE id IN (SELECT id FROM user_sessions ORDER BY sweep_at LIMIT {ENDED})"
        ),
    );
    settle(bench);
    let left = || -> u64 {
        let due = "SELECT count(*) FROM user_sessions WHERE sweep_at < now() - interval '1 d'";
        query(&bench.database, due).parse().unwrap()
    };
    assert_eq!(left(), ENDED);
    // It sweeps immediately after its start.
    let _server = bench.server(&[]).await;
    let (begun, before) = (Instant::now(), left());
    assert!(before > 0, "too few sessions to measure");
    while left() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed().as_secs_f64() * 1e6 / before as f64
}

/// Adds sessions up to that number, as logins of the last seven days.
fn fill(from: u64, to: u64) -> String {
    format!(
        "INSERT INTO user_sessions (id, user_id, token, expires_at, generation, lineage_key,
             handed_out_at, created_at, last_used_at, granted, user_agent, ip_address,
             device_name, revision, sweep_at)
         SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
                 || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
             'user-' || n / 3, md5(n::text) || md5((n + 1)::text), at + interval '14 d', 0,
             decode(md5(n::text) || md5((n + 2)::text), 'hex'), at, at, at, '{{}}',
             'Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0',
             '203.0.113.7', '', 0, at + interval '14 d'
         FROM (SELECT n, now() - interval '7 d' * (1 - n / {to}.0) AS at
               FROM generate_series({from} + 1, {to}) AS n) AS logins"
    )
}
