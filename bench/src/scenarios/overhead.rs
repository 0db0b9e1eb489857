//! What tracing and metrics cost: with an exporter, sampled, against without.

use super::validate::validating;
use super::{Bench, clients, log_in, places, throughput};
use crate::load;
use crate::process;
use crate::report::Report;

pub(super) async fn run(bench: &Bench<'_>, report: &mut Report) {
    // Nobody listens there: spans are made, sampled, batched and thrown away.
    let endpoint = format!("http://{}", process::free_addr());
    let traced = bench
        .server(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ])
        .await;
    let plain = bench.server(&[]).await;
    let (traced, plain) = (clients(&traced).await, clients(&plain).await);
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
