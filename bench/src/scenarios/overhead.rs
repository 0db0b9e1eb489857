//! The cost of tracing: sampled and exported traces against none. (Metrics cannot be switched off.
//! The micro-benchmarks include their cost.)

use super::validate::validating;
use super::{Bench, log_in, places, throughput};
use crate::load;
use crate::report::Report;

pub(super) async fn run(bench: &Bench<'_>, report: &mut Report) {
    let traced = bench.server(&[]).await;
    let plain = bench.server(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).await;
    let (traced, plain) = (bench.clients(&traced).await, bench.clients(&plain).await);
    let issued = log_in(&plain, 1000).await;
    let tokens = issued.into_iter().map(|one| one.access_token).collect();
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..bench.settings.rounds {
        let turn = bench.settings.turn();
        limits.push(load::closed(places(&plain, 64, validating(&tokens)), turn).await);
        ours.push(load::closed(places(&traced, 64, validating(&tokens)), turn).await);
    }
    let what = "ValidateToken, traced at 1 %, 64 in flight".to_owned();
    report.add(throughput(what, load::median(&ours), ("untraced", load::median(&limits)), 0.95));
}
