//! `ValidateToken` and `ValidateTokens` against a bare tonic echo of the same bytes.

use std::sync::Arc;

use futures::future::BoxFuture;
use prost::Message as _;
use token_authority::transport::proto::v1::{ValidateTokenRequest, ValidateTokensRequest};

use super::{Bench, Client, IN_FLIGHT, log_in, places, throughput};
use crate::load::{self, Sample};
use crate::process::Process;
use crate::report::{Report, Row};

/// Tokens in circulation.
const TOKENS: usize = 10_000;
const BATCH: usize = 100;

type Done = BoxFuture<'static, Result<(), String>>;

pub(super) async fn run(bench: &Bench<'_>, report: &mut Report) {
    for algorithm in ["HS256", "EdDSA"] {
        let issuer = ("JWT_ISSUER", "https://auth.example.com");
        let server = bench.server(&[("JWT_ALGORITHM", algorithm), issuer]).await;
        let ours = bench.clients(&server).await;
        let logins = log_in(&ours, TOKENS).await;
        let tokens: Arc<[String]> = logins.into_iter().map(|one| one.access_token).collect();
        let echo = echo(bench, &ours[0], &tokens[0]).await;
        let echoes = bench.clients(&echo).await;
        for in_flight in IN_FLIGHT {
            let contestants = [(&server, &*ours), (&echo, &*echoes)];
            contest(bench, report, algorithm, in_flight, contestants, &tokens).await;
        }
        batches(bench, report, algorithm, &ours, &tokens).await;
    }
}

/// Starts an echo with the same answer as the server's.
pub(super) async fn echo(bench: &Bench<'_>, client: &Client, token: &str) -> Process {
    let ask = ValidateTokenRequest { token: token.to_owned(), audience: String::new() };
    let answer = client.ask(ask).await.unwrap();
    assert!(answer.active);
    let file = bench.dir().join("answer");
    std::fs::write(&file, answer.encode_to_vec()).unwrap();
    Process::echo(bench.dir(), &file).await
}

async fn contest(
    bench: &Bench<'_>,
    report: &mut Report,
    algorithm: &str,
    in_flight: usize,
    contestants: [(&Process, &[Client]); 2],
    tokens: &Arc<[String]>,
) {
    let (mut samples, mut cpu) = ([Vec::new(), Vec::new()], [0.0, 0.0]);
    for _ in 0..bench.settings.rounds {
        for (who, (process, clients)) in contestants.into_iter().enumerate().rev() {
            let before = process.cpu();
            let places = places(clients, in_flight, validating(tokens));
            let sample = load::closed(places, bench.settings.turn()).await;
            let requests = sample.per_second * bench.settings.turn().as_secs_f64();
            let spent = process.cpu().saturating_sub(before);
            cpu[who] += spent.as_secs_f64() * 1e6 / requests;
            samples[who].push(sample);
        }
    }
    let [ours, echo] = samples.map(|samples| load::median(&samples));
    let [ours_cpu, echo_cpu] = cpu.map(|sum| sum / bench.settings.rounds as f64);
    report.note(format!(
        "{algorithm}, {in_flight} in flight: {ours_cpu:.1} µs of processor time a request, the echo \
         {echo_cpu:.1} µs"
    ));
    let latency = ours.p99 as f64 / echo.p99 as f64;
    let what = format!("ValidateToken, {algorithm}, {in_flight} in flight");
    report.add(throughput(what.clone(), ours.clone(), ("tonic echo", echo.clone()), 0.9));
    report.add(Row {
        what: format!("{what}: p99"),
        ours,
        limit: Some(("tonic echo".into(), echo)),
        ratio: Some(latency),
        target: "≤ 1.25 ×".into(),
        met: Some(latency <= 1.25),
    });
}

/// Validates one token after another.
pub(super) fn validating(
    tokens: &Arc<[String]>,
) -> impl Fn(Client, usize) -> Done + Clone + Send + 'static {
    let tokens = Arc::clone(tokens);
    move |client, n| {
        let token = tokens[n % tokens.len()].clone();
        Box::pin(async move {
            let ask = ValidateTokenRequest { token, audience: String::new() };
            let answer = client.ask(ask).await?;
            let active = answer.active;
            active.then_some(()).ok_or_else(|| "inactive".to_owned())
        })
    }
}

/// Validates a hundred tokens per call.
fn validating_batches(
    tokens: &Arc<[String]>,
) -> impl Fn(Client, usize) -> Done + Clone + Send + 'static {
    let tokens = Arc::clone(tokens);
    move |client, n| {
        let first = n * BATCH;
        let batch = (first..first + BATCH).map(|n| tokens[n % tokens.len()].clone()).collect();
        Box::pin(async move {
            let ask = ValidateTokensRequest { tokens: batch, audience: String::new() };
            let answer = client.ask(ask).await?;
            let good = answer.results.iter().filter(|one| one.active).count();
            (good == BATCH).then_some(()).ok_or_else(|| "inactive".to_owned())
        })
    }
}

async fn batches(
    bench: &Bench<'_>,
    report: &mut Report,
    algorithm: &str,
    clients: &[Client],
    tokens: &Arc<[String]>,
) {
    let (mut singles, mut batches) = (Vec::new(), Vec::new());
    for _ in 0..bench.settings.rounds {
        let turn = bench.settings.turn();
        singles.push(load::closed(places(clients, 64, validating(tokens)), turn).await);
        batches.push(load::closed(places(clients, 64, validating_batches(tokens)), turn).await);
    }
    let (single, batch) = (load::median(&singles), load::median(&batches));
    let ours = Sample { per_second: batch.per_second * BATCH as f64, ..batch };
    let what = format!("ValidateTokens, {algorithm}, {BATCH} a call (tokens a second)");
    report.add(throughput(what, ours, ("single calls", single), 8.0));
}
