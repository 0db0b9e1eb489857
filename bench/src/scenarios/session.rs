//! `ValidateToken` of a session token, which is looked up in the database, against a one-row
//! select.

use super::validate::validating;
use super::{Bench, IN_FLIGHT, log_in, places, throughput};
use crate::load;
use crate::pgbench;
use crate::report::Report;

/// Tokens in circulation.
const TOKENS: usize = 10_000;

pub(super) async fn run(bench: &Bench<'_>, report: &mut Report) {
    let server = bench.server(&[("JWT_ROLLOUT_PERCENTAGE", "0")]).await;
    let clients = bench.clients(&server).await;
    let issued = log_in(&clients, TOKENS).await;
    let tokens = issued.into_iter().map(|one| one.access_token).collect();
    for in_flight in IN_FLIGHT {
        let (mut ours, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..bench.settings.rounds {
            limits.push(bench.limit(pgbench::SELECT));
            let places = places(&clients, in_flight, validating(&tokens));
            ours.push(load::closed(places, bench.settings.turn()).await);
        }
        let what = format!("ValidateToken of a session token, {in_flight} in flight");
        let limit = ("pgbench SELECT", load::median(&limits));
        report.add(throughput(what, load::median(&ours), limit, 0.6));
    }
}
