//! Latency against offered load in an open loop, as a plot.

use std::fmt::Write as _;

use super::validate::validating;
use super::{Bench, log_in, places};
use crate::load::{self, Sample};
use crate::report::Report;

/// Shares of the throughput of the closed loop.
const SHARES: [f64; 7] = [0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8];

pub(super) async fn run(bench: &Bench<'_>, report: &mut Report) {
    let server = bench.server(&[]).await;
    let clients = bench.clients(&server).await;
    let issued = log_in(&clients, 1000).await;
    let tokens = issued.into_iter().map(|one| one.access_token).collect();
    let turn = bench.settings.turn();
    let most = load::closed(places(&clients, 64, validating(&tokens)), turn).await.per_second;
    let request = validating(&tokens);
    let mut points = Vec::new();
    for share in SHARES {
        let offered = most * share;
        let sample = load::open(offered, turn, |n| {
            let n = usize::try_from(n).unwrap();
            request(clients[n % clients.len()].clone(), n)
        })
        .await;
        report.note(format!(
            "ValidateToken at {offered:.0} a second offered: p50 {} µs, p99 {} µs, {} failed",
            sample.p50, sample.p99, sample.failed
        ));
        points.push((offered, sample));
    }
    std::fs::create_dir_all(&bench.settings.out).unwrap();
    std::fs::write(bench.settings.out.join("latency.svg"), plot(&points)).unwrap();
}

/// Latency on a logarithmic scale from 10 µs to 1 s, over requests a second.
fn plot(points: &[(f64, Sample)]) -> String {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 360.0;
    let most = points.iter().map(|(offered, _)| *offered).fold(1.0, f64::max);
    let x = |offered: f64| 60.0 + offered / most * (WIDTH - 90.0);
    let y = |micros: f64| HEIGHT - 40.0 - (micros.log10() - 1.0) / 5.0 * (HEIGHT - 70.0);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' \
         font-size='12'><rect width='100%' height='100%' fill='white'/>\
         <text x='60' y='20'>ValidateToken: latency against offered load (open loop)</text>"
    );
    for (micros, label) in [
        (1e1, "10 µs"),
        (1e2, "100 µs"),
        (1e3, "1 ms"),
        (1e4, "10 ms"),
        (1e5, "100 ms"),
        (1e6, "1 s"),
    ] {
        let at = y(micros);
        write!(svg, "<line x1='60' x2='{}' y1='{at}' y2='{at}' stroke='#ddd'/><text x='5' y='{at}'>{label}</text>", WIDTH - 30.0).unwrap();
    }
    for (offered, _) in points {
        write!(
            svg,
            "<text x='{}' y='{}' text-anchor='middle'>{offered:.0}/s</text>",
            x(*offered),
            HEIGHT - 15.0
        )
        .unwrap();
    }
    for (name, color, of) in [
        ("p50", "#1f77b4", (|s: &Sample| s.p50) as fn(&Sample) -> u64),
        ("p99", "#d62728", |s: &Sample| s.p99),
    ] {
        let line: Vec<_> = points
            .iter()
            .map(|(offered, sample)| {
                format!("{:.1},{:.1}", x(*offered), y(of(sample).max(10) as f64))
            })
            .collect();
        write!(
            svg,
            "<polyline points='{}' fill='none' stroke='{color}' stroke-width='2'/>",
            line.join(" ")
        )
        .unwrap();
        let (offered, last) = points.last().unwrap();
        write!(
            svg,
            "<text x='{}' y='{}' fill='{color}'>{name}</text>",
            x(*offered) + 4.0,
            y(of(last).max(10) as f64)
        )
        .unwrap();
    }
    svg.push_str("</svg>\n");
    svg
}
