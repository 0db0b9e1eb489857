//! `IssueTokens` and `RefreshAccessToken` against one-row transactions.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Executor as _};
use token_authority::transport::proto::v1::RefreshAccessTokenRequest;

use super::costs::Spent;
use super::{Bench, Client, IN_FLIGHT, log_in, login, migrate, places, throughput};
use crate::load::{self, Place, Sample};
use crate::pgbench;
use crate::report::Report;

pub(super) async fn issue(bench: &Bench<'_>, report: &mut Report) {
    let server = bench.server(&[]).await;
    let clients = bench.clients(&server).await;
    for in_flight in IN_FLIGHT {
        let (mut ours, mut limits, mut spent) = (Vec::new(), Vec::new(), String::new());
        for _ in 0..bench.settings.rounds {
            limits.push(bench.limit(pgbench::INSERT));
            let before = Spent::now(bench, &server, "open");
            ours.push(load::closed(issuing(&clients, in_flight), bench.settings.turn()).await);
            spent = Spent::now(bench, &server, "open").since(&before);
        }
        report.note(format!("IssueTokens, {in_flight} in flight, {spent}"));
        let what = format!("IssueTokens, Postgres, {in_flight} in flight");
        let limit = ("pgbench INSERT", load::median(&limits));
        report.add(throughput(what, load::median(&ours), limit, 1.5));
    }
}

pub(super) async fn refresh(bench: &Bench<'_>, report: &mut Report) {
    let server = bench.server(&[]).await;
    let clients = bench.clients(&server).await;
    for in_flight in IN_FLIGHT {
        let (mut ours, mut limits, mut spent) = (Vec::new(), Vec::new(), String::new());
        for _ in 0..bench.settings.rounds {
            limits.push(bench.limit(pgbench::UPDATE));
            let places = refreshing(&clients, in_flight).await;
            let before = Spent::now(bench, &server, "change");
            ours.push(load::closed(places, bench.settings.turn()).await);
            spent = Spent::now(bench, &server, "change").since(&before);
        }
        report.note(format!("RefreshAccessToken, {in_flight} in flight, {spent}"));
        let what = format!("RefreshAccessToken, Postgres, rotating, {in_flight} in flight");
        let limit = ("pgbench UPDATE", load::median(&limits));
        report.add(throughput(what, load::median(&ours), limit, 1.5));
    }
}

pub(super) async fn sqlite(bench: &Bench<'_>, report: &mut Report) {
    let dir = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", dir.path().join("tokens.db").display());
    migrate(&bench.settings.server, &database);
    let server = bench.server_in(dir.path(), &[("DATABASE_URL", &database)]).await;
    let clients = bench.clients(&server).await;
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..bench.settings.rounds {
        limits.push(one_fsync_an_insert(dir.path(), bench.settings.turn()).await);
        ours.push(load::closed(issuing(&clients, 256), bench.settings.turn()).await);
    }
    let what = "IssueTokens, SQLite, durable, 256 in flight".to_owned();
    let limit = ("one fsync an insert", load::median(&limits));
    report.add(throughput(what, load::median(&ours), limit, 10.0));
}

/// One login after another.
pub(super) fn issuing(clients: &[Client], in_flight: usize) -> Vec<Place> {
    places(clients, in_flight, |client, n| {
        Box::pin(async move { client.ask(login(n)).await.map(drop) })
    })
}

/// How many sessions are refreshed in turn.
const SESSIONS: usize = 10_000;

/// Places with separate sessions. Each request rotates the token of the next session.
pub(super) async fn refreshing(clients: &[Client], in_flight: usize) -> Vec<Place> {
    let held: Vec<_> = log_in(clients, SESSIONS)
        .await
        .into_iter()
        .map(|session| Arc::new(Mutex::new(session.refresh_token)))
        .collect();
    let place = |(place, held): (usize, &[Arc<Mutex<String>>])| {
        let client = clients[place % clients.len()].clone();
        let (held, mut turn) = (held.to_vec(), 0);
        Box::new(move || {
            turn += 1;
            let held = Arc::clone(&held[turn % held.len()]);
            Box::pin(rotate(client.clone(), held)) as futures::future::BoxFuture<'static, _>
        }) as Place
    };
    held.chunks_exact(SESSIONS / in_flight).take(in_flight).enumerate().map(place).collect()
}

async fn rotate(client: Client, held: Arc<Mutex<String>>) -> Result<(), String> {
    let refresh_token = held.lock().unwrap().clone();
    let ask =
        RefreshAccessTokenRequest { refresh_token: refresh_token.clone(), ..Default::default() };
    let answer = client.ask(ask).await?;
    let successor = answer.refresh_token;
    let rotated = successor != refresh_token;
    *held.lock().unwrap() = successor;
    rotated.then_some(()).ok_or_else(|| "not rotated".to_owned())
}

/// Measures a program that writes each row separately, with the same durability.
async fn one_fsync_an_insert(dir: &Path, turn: Duration) -> Sample {
    let mut connection = SqliteConnectOptions::new()
        .filename(dir.join("limit.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await
        .unwrap();
    let table = "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, a TEXT, b BLOB)";
    connection.execute(table).await.unwrap();
    let (begun, mut done) = (Instant::now(), 0_u32);
    while begun.elapsed() < turn {
        let insert = "INSERT INTO t (a, b) VALUES (hex(randomblob(150)), randomblob(64))";
        connection.execute(insert).await.unwrap();
        done += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mean = (seconds * 1e6 / f64::from(done)) as u64;
    Sample { per_second: f64::from(done) / seconds, p50: mean, p99: 0, failed: 0 }
}
