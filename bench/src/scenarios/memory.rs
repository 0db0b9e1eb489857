//! Memory: idle, and with 256 requests in flight for a minute.

use std::time::Duration;

use super::Bench;
use super::issue_refresh::{issuing, refreshing};
use crate::load;
use crate::report::Report;

pub(super) async fn run(bench: &Bench<'_>, report: &mut Report) {
    let server = bench.server(&[]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = server.resident_mib();
    report.note(format!("idle memory: {idle:.0} MiB (target: < 30 MiB)"));
    let clients = bench.clients(&server).await;
    let mut seen = Vec::new();
    for turn in 0..6 {
        let places = match turn % 2 {
            0 => issuing(&clients, 256),
            _ => refreshing(&clients, 256).await,
        };
        load::closed(places, Duration::from_secs(10)).await;
        seen.push(format!("{:.0}", server.resident_mib()));
    }
    report.note(format!(
        "memory with 256 in flight, every 10 s for a minute: {} MiB (target: < 120 MiB and flat)",
        seen.join(", ")
    ));
}
