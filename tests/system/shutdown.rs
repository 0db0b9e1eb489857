//! Shutdown: it is announced, every request in flight is answered, and it ends in time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use prost::Message as _;
use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use test_support::until::until;
use token_authority::transport::proto::v1::{
    RefreshAccessTokenRequest, RefreshAccessTokenResponse, WatchRevocationsRequest,
    WatchRevocationsResponse,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::database::Database;
use crate::raw;
use crate::wire;

/// Opens a connection on which one request was answered, and none followed.
fn idle(port: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(port).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

/// The form of a request whose body is not complete yet.
const FORM: &str = "token=whatever";

/// Sends a request without its last bytes.
fn unfinished(port: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(port).unwrap();
    let (length, begin) = (FORM.len(), &FORM[..5]);
    let head = "POST /oauth2/introspect HTTP/1.1\r\nhost: a\r\n\
                content-type: application/x-www-form-urlencoded\r\n";
    write!(stream, "{head}content-length: {length}\r\n\r\n{begin}").unwrap();
    stream
}

/// Sends the last bytes. Returns the answer up to the end of the connection.
fn finish(mut stream: TcpStream) -> String {
    stream.write_all(&FORM.as_bytes()[5..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Begins a refresh over gRPC whose message is sent when it is asked for.
fn refreshing(
    service: &Replica,
    token: String,
) -> (oneshot::Sender<()>, JoinHandle<Result<Vec<u8>, Status>>) {
    let (send, asked) = oneshot::channel();
    let message = async move {
        asked.await.unwrap();
        RefreshAccessTokenRequest { refresh_token: token, ..Default::default() }.encode_to_vec()
    };
    let (channel, method) = (service.channel(), "TokenAuthorityService/RefreshAccessToken");
    let answer = tokio::spawn(async move { raw::call_later(&channel, method, message).await });
    (send, answer)
}

/// Open watches, which last for ever.
struct Watches {
    health: Streaming<HealthCheckResponse>,
    revocations: Streaming<WatchRevocationsResponse>,
}

impl Watches {
    async fn begin(service: &Replica) -> Self {
        let ask = HealthCheckRequest::default();
        let mut health =
            HealthClient::new(service.channel()).watch(ask).await.unwrap().into_inner();
        let first = health.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        let ask = WatchRevocationsRequest::default();
        let revocations = service.sessions().watch_revocations(ask).await.unwrap();
        Self { health, revocations: revocations.into_inner() }
    }

    /// Checks that they receive the last status and then end.
    async fn end(mut self) {
        let last = self.health.message().await.unwrap().unwrap();
        assert_eq!(last.status(), ServingStatus::NotServing);
        let ended = self.health.message().await;
        assert!(matches!(ended, Ok(None)), "{ended:?}");
        let status = loop {
            if let Err(status) = self.revocations.message().await {
                break status;
            }
        };
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
}

async fn ends_well(setup: Setup, signal: &str) {
    let setup = setup.set("SHUTDOWN_DELAY_SECONDS", "3").set("REQUEST_TIMEOUT_SECONDS", "60");
    let mut service = setup.start().await;
    service.ready().await;
    let mut health = HealthClient::new(service.channel());
    let status = async |health: &mut HealthClient<_>| {
        health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status()
    };
    assert_eq!(status(&mut health).await, ServingStatus::Serving);
    let watches = Watches::begin(&service).await;
    let lingering = [idle(service.http_addr()), TcpStream::connect(service.http_addr()).unwrap()];
    let silent = TcpStream::connect(service.grpc()).unwrap();
    let token = wire::issue(&service.tokens(), "alice").await.refresh_token;
    let over_http = unfinished(service.http_addr());
    let (go_on, over_grpc) = refreshing(&service, token);

    service.signal(signal);
    // It reports NOT_SERVING while it still serves, on old and new connections.
    until("not ready", async || {
        let ready = service.http().get("/readyz").await;
        (ready.status == 503 && ready.body.contains("shutting down")).then_some(())
    })
    .await;
    assert_eq!(status(&mut health).await, ServingStatus::NotServing);
    let mut anew = HealthClient::new(service.channel());
    assert_eq!(status(&mut anew).await, ServingStatus::NotServing);
    assert_eq!(service.http().get("/healthz").await.status, 200);
    watches.end().await;
    // Then new connections are refused, and open requests may finish.
    let port = service.http_addr();
    until("closed", async || TcpStream::connect(port).is_err().then_some(())).await;
    assert!(!service.log().contains("\"shut down\"") && !over_grpc.is_finished());
    go_on.send(()).unwrap();
    let renewed = over_grpc.await.unwrap().unwrap();
    let renewed = RefreshAccessTokenResponse::decode(&renewed[..]).unwrap();
    assert!(!renewed.refresh_token.is_empty());
    let answer = finish(over_http);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("active"), "{answer}");

    let ended = service.ended().await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let log = service.log();
    assert!(log.contains(&format!("SIG{signal}")) && log.contains("\"shut down\""), "{log}");
    // It ended because all requests were answered, not because the grace period was over.
    assert!(!log.contains("cut off") && !log.contains("panicked"), "{log}");
    drop((lingering, silent));
}

on_both! {
    sigterm_lets_everything_finish
    sigint_lets_everything_finish
}

async fn sigterm_lets_everything_finish(_: Database, setup: Setup) {
    ends_well(setup, "TERM").await;
}

async fn sigint_lets_everything_finish(_: Database, setup: Setup) {
    ends_well(setup, "INT").await;
}

/// Checks that it ends with exit code 0, although it cut requests off.
async fn is_cut_off(mut service: Replica, why: &str) {
    let ended = service.ended().await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let log = service.log();
    let line = log.lines().find(|line| line.contains("cut off")).expect("nothing was cut off");
    assert!(line.contains(why), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_holds_it_past_the_grace_period() {
    let cluster = Cluster::start();
    let (_, setup) = Database::at(cluster.url(&cluster.make_database().await));
    let mut service = setup.set("SHUTDOWN_GRACE_SECONDS", "1").start().await;
    service.ready().await;
    let token = wire::issue(&service.tokens(), "alice").await.refresh_token;
    let half = unfinished(service.http_addr());
    let (_go_on, over_grpc) = refreshing(&service, token);
    cluster.pause();
    let tokens = service.tokens();
    let login = tokio::spawn(async move { wire::try_issue(&tokens, "bob").await.is_ok() });
    // The statement that reads the feed hangs as well.
    until("asked", async || {
        let page = service.metrics();
        let busy =
            page.lines().find_map(|line| line.strip_prefix("db_connections{state=\"busy\"} "));
        (busy.unwrap().parse::<u32>().unwrap() > 1).then_some(())
    })
    .await;
    service.signal("TERM");
    until("cut off", async || service.log().contains("cut off").then_some(())).await;
    // The login's connection is not waited for. The statement's own limit is 2.5 seconds.
    let ended = tokio::time::timeout(Duration::from_secs(1), service.ended());
    ended.await.expect("the shutdown waits for the login's connection");
    assert!(!login.await.unwrap());
    is_cut_off(service, "the grace period is over").await;
    assert!(over_grpc.await.unwrap().is_err());
    drop(half);
    cluster.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_does_not_hold_it() {
    let cluster = Cluster::start();
    let (_, setup) = Database::at(cluster.url(&cluster.make_database().await));
    let mut service = setup.start().await;
    service.ready().await;
    cluster.pause();
    service.signal("TERM");
    assert_eq!(service.ended().await.code(), Some(0));
    assert!(!service.log().contains("cut off"), "{}", service.log());
    cluster.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_and_a_doubled_one_does_not() {
    for second in ["TERM", "INT"] {
        let service = Setup::new()
            .set("SHUTDOWN_GRACE_SECONDS", "600")
            .set("REQUEST_TIMEOUT_SECONDS", "600")
            .start()
            .await;
        let half = unfinished(service.http_addr());
        service.signal("TERM");
        service.signal("TERM");
        service.signal("INT");
        until("shutting down", async || service.log().contains("shutting down").then_some(()))
            .await;
        // Long after the time in which a second signal counts as a repetition.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let log = service.log();
        assert!(!log.contains("cut off") && !log.contains("\"shut down\""), "{log}");
        service.signal(second);
        is_cut_off(service, &format!("SIG{second}")).await;
        drop(half);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_be_told_to_end_before_it_serves() {
    let setup = Setup::new().set("SHUTDOWN_DELAY_SECONDS", "0");
    for millis in [0, 5, 20, 60] {
        let mut replica = setup.spawn(&[]);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        replica.signal("TERM");
        replica.ended().await;
    }
    // No half-created file or table was left behind.
    let service = setup.start().await;
    wire::issue(&service.tokens(), "alice").await;
}
