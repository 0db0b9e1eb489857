//! One request in flight: coalescing must not slow it down.

use super::issue_refresh::{issuing, refreshing};
use super::validate::{echo, validating};
use super::{Bench, log_in, places};
use crate::load::{self, Sample};
use crate::pgbench;
use crate::report::{Report, Row};

pub(super) async fn run(bench: &Bench<'_>, report: &mut Report) {
    let server = bench.server(&[]).await;
    let clients = bench.clients(&server).await;
    let token = log_in(&clients, 1).await.remove(0).access_token;
    let echo = echo(bench, &clients[0], &token).await;
    let echo = bench.clients(&echo).await;
    let tokens = [token].into();
    let (mut echoes, mut inserts, mut updates) = (Vec::new(), Vec::new(), Vec::new());
    let (mut issues, mut refreshes) = (Vec::new(), Vec::new());
    for _ in 0..bench.settings.rounds {
        let turn = bench.settings.turn();
        echoes.push(load::closed(places(&echo, 1, validating(&tokens)), turn).await);
        inserts.push(pgbench::run(&bench.database, pgbench::INSERT, 1, turn));
        issues.push(load::closed(issuing(&clients, 1), turn).await);
        updates.push(pgbench::run(&bench.database, pgbench::UPDATE, 1, turn));
        refreshes.push(load::closed(refreshing(&clients, 1).await, turn).await);
    }
    let echo = load::median(&echoes);
    for (what, ours, limit) in
        [("IssueTokens", issues, inserts), ("RefreshAccessToken", refreshes, updates)]
    {
        let (ours, limit) = (load::median(&ours), load::median(&limit));
        let sum = 1e6 / echo.per_second + 1e6 / limit.per_second;
        let ratio = 1e6 / ours.per_second / sum;
        report.add(Row {
            what: format!("{what}, Postgres, one in flight (mean latency)"),
            ours,
            limit: Some((
                "tonic echo + one pgbench transaction".into(),
                Sample { per_second: 1e6 / sum, p50: sum as u64, p99: 0, failed: 0 },
            )),
            ratio: Some(ratio),
            target: "≤ 1.30 ×".into(),
            met: Some(ratio <= 1.3),
        });
    }
}
