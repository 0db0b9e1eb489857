//! Cost against size: the same work on 10⁵, 10⁶ and 10⁷ sessions.

use super::issue_refresh::{issuing, refreshing};
use super::{Bench, psql, query};
use crate::load;
use crate::report::Report;

pub(super) async fn run(bench: &Bench<'_>, report: &mut Report) {
    let mut first: Option<[f64; 2]> = None;
    let mut loaded = 0_u64;
    for size in bench.settings.sizes() {
        psql(&bench.database, &fill(loaded, size));
        psql(&bench.database, "VACUUM ANALYZE user_sessions");
        psql(&bench.database, "CHECKPOINT");
        loaded = size;
        let server = bench.server(&[]).await;
        let clients = bench.clients(&server).await;
        let (mut issues, mut refreshes) = (Vec::new(), Vec::new());
        for _ in 0..bench.settings.rounds {
            let turn = bench.settings.turn();
            issues.push(load::closed(issuing(&clients, 64), turn).await);
            refreshes.push(load::closed(refreshing(&clients, 64).await, turn).await);
        }
        let cost = [&issues, &refreshes].map(|samples| 1e6 / load::median(samples).per_second);
        let bytes = query(
            &bench.database,
            "SELECT pg_total_relation_size('user_sessions') / count(*) FROM user_sessions",
        );
        let base = *first.get_or_insert(cost);
        report.note(format!(
            "{size} sessions: issue {:.0} µs ({:.2} ×), refresh {:.0} µs ({:.2} ×) of the machine \
             each, {bytes} bytes a session with its indexes (target: ≤ 1.25 × the smallest)",
            cost[0],
            cost[0] / base[0],
            cost[1],
            cost[1] / base[1],
        ));
    }
}

/// Adds sessions until there are so many, as logins of the last seven days.
fn fill(from: u64, to: u64) -> String {
    format!(
        "INSERT INTO user_sessions (id, user_id, token, expires_at, generation, lineage_key,
             handed_out_at, created_at, last_used_at, granted, user_agent, ip_address,
             device_name, revision, sweep_at)
         SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
                 || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
             'user-' || n / 3, md5(n::text) || md5((n + 1)::text), at + interval '7 d', 0,
             decode(md5(n::text) || md5((n + 2)::text), 'hex'), at, at, at, '{{}}',
             'Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0',
             '203.0.113.7', '', 0, at + interval '7 d'
         FROM (SELECT n, now() - interval '7 d' * (1 - n / {to}.0) AS at
               FROM generate_series({from} + 1, {to}) AS n) AS logins"
    )
}
