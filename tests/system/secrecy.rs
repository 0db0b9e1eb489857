//! No secret is written anywhere at the most verbose log level, whatever requests come: not to a
//! log, a metric, a span, or an error.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use prost::Message as _;
use test_support::postgres::Cluster;
use test_support::process::free_port;
use test_support::replica::{Replica, Setup};
use test_support::tools;
use token_authority::transport::callers::roles::{ROUTES, Route};
use token_authority::transport::proto;
use token_authority::transport::proto::v1::{
    ClientInfo, IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest,
    RefreshAccessTokenResponse,
};
use tonic::Status;

use crate::collector::Collector;
use crate::database::Database;
use crate::needles::{Needles, hex};
use crate::production::with_caller;
use crate::raw;

const JWT_SECRET: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";
const AUTHORITY_SECRET: &str = "Zx3LqW8nB1vK6yTe0RmUo5JpGh7dSc2fAi9XwNbQkEs=";
const PASSWORD: &str = "hunter2-and-a-half-of-it";
const REQUEST_ID: &str = "0192f6b0-8f5e-7c3a-9d1e-2b4f6a8c0e12";
const AGENT: &str = "Agent-of-Zoe/3.14159";
const CLAIM: &str = "claim-about-Zoe-27182";

const TOKENS: &str = "/token_authority.v1.TokenAuthorityService";

/// A client that tries every operation with every secret.
struct Busybody<'a> {
    service: &'a Replica,
    key: String,
    needles: Needles,
    /// The texts of all errors that it received.
    told: Vec<u8>,
}

impl<'a> Busybody<'a> {
    fn new(service: &'a Replica, key: String) -> Self {
        let mut needles = Needles::default();
        for (what, secret) in [
            ("JWT_SECRET", JWT_SECRET),
            ("AUTHORITY_SECRET", AUTHORITY_SECRET),
            ("the database's password", PASSWORD),
            ("a request's id", REQUEST_ID),
            ("a user's agent", AGENT),
            ("a claim", CLAIM),
            ("an API key", &key),
        ] {
            needles.add(what, secret);
        }
        Self { service, key, needles, told: Vec::new() }
    }

    /// Calls an RPC. Keeps the text of an error.
    async fn call(
        &mut self,
        path: &str,
        metadata: &[(&str, &str)],
        message: &[u8],
    ) -> Option<Vec<u8>> {
        let bearer = format!("Bearer {}", self.key);
        let metadata = [&[("authorization", bearer.as_str())], metadata].concat();
        let channel = self.service.channel();
        let asked = raw::call_with(&channel, path, &metadata, message);
        // A watch does not end by itself.
        let answer = tokio::time::timeout(Duration::from_secs(1), asked).await.ok()?;
        answer.map_err(|error: Status| self.told.extend(format!("{error:?}\n").bytes())).ok()
    }

    /// Sends an HTTP request. Keeps the text and the headers of an error.
    async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) {
        let answer =
            self.service.http().exchange(method, path, headers, body.to_owned()).await.unwrap();
        if answer.status >= 400 {
            self.told.extend(format!("{answer:?}\n").bytes());
        }
    }

    async fn issue(&mut self, request_id: &str) -> IssueTokensResponse {
        let text = prost_types::value::Kind::StringValue(CLAIM.into());
        let fields = [("note".into(), prost_types::Value { kind: Some(text) })].into();
        let ask = IssueTokensRequest {
            user_id: "zoe".into(),
            claims: Some(prost_types::Struct { fields }),
            client: Some(ClientInfo { user_agent: AGENT.into(), ..Default::default() }),
            request_id: request_id.into(),
            ..Default::default()
        };
        let answer = self.call(&format!("{TOKENS}/IssueTokens"), &[], &ask.encode_to_vec()).await;
        let issued = IssueTokensResponse::decode(&answer.unwrap()[..]).unwrap();
        self.keep(&issued.access_token, &issued.refresh_token);
        issued
    }

    fn keep(&mut self, access: &str, refresh: &str) {
        self.needles.add("an access token", access);
        self.needles.add("a refresh token", refresh);
        self.needles.add("a refresh token's hash", &hash(refresh));
    }

    async fn refresh(&mut self, token: &str) -> Option<RefreshAccessTokenResponse> {
        let ask = RefreshAccessTokenRequest { refresh_token: token.into(), ..Default::default() }
            .encode_to_vec();
        let answer = self.call(&format!("{TOKENS}/RefreshAccessToken"), &[], &ask).await?;
        let answer = RefreshAccessTokenResponse::decode(&answer[..]).unwrap();
        self.keep(&answer.access_token, &answer.refresh_token);
        Some(answer)
    }

    /// Plays a whole life of a token, right and wrong. Returns secrets to try at other places.
    async fn live(&mut self) -> Vec<String> {
        let first = self.issue(REQUEST_ID).await;
        let retried = self.issue(REQUEST_ID).await;
        assert_eq!(first.session_id, retried.session_id);
        let second = self.refresh(&first.refresh_token).await.unwrap();
        let forged = forge(&second.refresh_token);
        self.keep(&forge(&first.access_token), &forged);
        assert!(self.refresh(&forged).await.is_none());
        let stolen = self.issue("").await;
        let mut token = stolen.refresh_token.clone();
        for _ in 0..3 {
            token = self.refresh(&token).await.unwrap().refresh_token;
        }
        assert!(self.refresh(&stolen.refresh_token).await.is_none(), "the theft is detected");
        assert!(self.refresh(&token).await.is_none());
        let live = self.issue("").await;
        vec![live.access_token, forged, live.refresh_token]
    }

    /// Puts a secret into every field of every RPC, and into everything around it.
    async fn misplace_over_grpc(&mut self, secret: &str) {
        let services = proto::methods().into_iter();
        let paths = services.flat_map(|(service, methods)| {
            methods.into_iter().map(move |method| format!("/{service}/{method}"))
        });
        // Reflection is left out, like `grpc-encoding` below: the libraries' answers quote unknown
        // names from the caller.
        for path in paths.chain(["/grpc.health.v1.Health/Check".to_owned()]) {
            let fields = if path.ends_with("/WatchRevocations") { 1..=1 } else { 1..=8 };
            for field in fields {
                self.call(&path, &[], &raw::field(field, secret.as_bytes())).await;
            }
            self.call(&path, &[], secret.as_bytes()).await;
        }
        let validate = format!("{TOKENS}/ValidateToken");
        let bearer = format!("Bearer {secret}");
        for header in [
            ("authorization", bearer.as_str()),
            ("cookie", &format!("refreshToken={secret}")),
            ("traceparent", secret),
            ("tracestate", &format!("a={secret}")),
            ("baggage", &format!("token={secret}")),
            ("grpc-timeout", secret),
            ("grpc-accept-encoding", secret),
            ("x-forwarded-for", secret),
            ("x-request-id", secret),
        ] {
            self.call(&validate, &[header], &raw::field(1, secret.as_bytes())).await;
        }
        for path in [
            format!("/{secret}"),
            format!("{TOKENS}/{secret}"),
            format!("/{secret}/ValidateToken"),
            format!("{validate}?token={secret}"),
        ] {
            self.call(&path, &[], &[]).await;
        }
    }

    /// Does the same over HTTP.
    async fn misplace_over_http(&mut self, secret: &str) {
        let (cookie, bearer) = (format!("refreshToken={secret}"), format!("Bearer {secret}"));
        let basic = format!("Basic {}", STANDARD.encode(format!("{secret}:{secret}")));
        let own = format!("Bearer {}", self.key);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        for path in ROUTES.iter().map(Route::path) {
            for headers in [
                vec![("cookie", cookie.as_str())],
                vec![("authorization", bearer.as_str())],
                vec![("authorization", basic.as_str())],
                vec![("cookie", cookie.as_str()), ("origin", secret)],
                vec![("traceparent", secret), ("tracestate", secret), ("host", secret)],
                vec![("user-agent", secret), ("x-forwarded-for", secret), ("forwarded", secret)],
                vec![("content-type", secret), ("accept", secret), ("authorization", &own)],
            ] {
                self.send(Method::POST, path, &headers, secret).await;
                self.send(Method::GET, path, &headers, "").await;
            }
            self.send(Method::POST, &format!("{path}?token={secret}"), &[], "").await;
            self.send(Method::GET, &format!("{path}/{secret}"), &[], "").await;
            for body in [
                format!("token={secret}"),
                format!("token={secret}&token={secret}"),
                format!("token_type_hint={secret}&token=x&client_secret={secret}"),
                format!("{secret}=1"),
            ] {
                let headers = [form[0], ("authorization", own.as_str())];
                self.send(Method::POST, path, &headers, &body).await;
            }
            let method = as_method(secret);
            self.needles.add("a method that nobody knows", method.as_str());
            self.send(method, path, &[], "").await;
        }
    }

    /// Sends bytes that are not a request to every port.
    fn misplace_in_no_protocol(&mut self, secret: &str) {
        let service = self.service;
        let metrics = service.metrics_addr();
        for port in [service.grpc(), service.http_addr(), metrics] {
            for bytes in [
                format!("{secret}\r\n\r\n"),
                format!("GET {secret} HTTP/1.1\r\nhost: a\r\n\r\n"),
                format!("GET /\x01{secret} HTTP/1.1\r\nhost: a\r\n\r\n"),
                format!("GET / HTTP/{secret}\r\n\r\n"),
                format!("GET / HTTP/1.1\r\n{secret}\r\n\r\n"),
                format!("GET / HTTP/1.1\r\nx: \x01{secret}\r\n\r\n"),
                format!("POST / HTTP/1.1\r\ntransfer-encoding: {secret}\r\n\r\n"),
                format!("POST /?{secret} HTTP/1.1\r\ncontent-length: {secret}\r\n\r\n"),
                format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{secret}"),
            ] {
                self.told.extend(say(port, bytes.as_bytes()));
            }
            self.told.extend(say(port, &raw::http2_head(&format!("\x01{secret}"), secret)));
        }
    }
}

fn hash(token: &str) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(token.as_bytes()))
}

/// Returns the token with one character changed.
fn forge(token: &str) -> String {
    let at = token.len() - 20;
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

/// Makes a method of a secret. Only its letters are allowed there.
fn as_method(secret: &str) -> Method {
    let letters: Vec<u8> = secret.bytes().filter(u8::is_ascii_alphanumeric).collect();
    Method::from_bytes(&letters[letters.len() - 32..]).unwrap()
}

/// Sends bytes. Returns the answer up to the end of the connection, or until no more comes.
fn say(port: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(port).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    // The server may have closed the connection after the first bytes.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn talkative(setup: Setup, format: &str) -> Setup {
    setup
        .set("LOG_LEVEL", "trace")
        .set("LOG_FORMAT", format)
        .set("NO_COLOR", "1")
        .set("JWT_SECRET", JWT_SECRET)
        .set("AUTHORITY_SECRET", AUTHORITY_SECRET)
        // Every refresh rotates, so many different tokens occur.
        .set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0")
        .set("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-api-key={PASSWORD}"))
}

/// Does everything, then searches everywhere.
async fn tells_nothing(setup: Setup) {
    let collector = Collector::start().await;
    let (setup, key) = with_caller(&collector.told_by(setup));
    let mut service = setup.start().await;
    service.ready().await;
    let mut busybody = Busybody::new(&service, key.clone());
    let mut secrets = busybody.live().await;
    secrets.push(key);
    for secret in &secrets {
        busybody.misplace_over_grpc(secret).await;
        busybody.misplace_over_http(secret).await;
        busybody.misplace_in_no_protocol(secret);
    }
    let metrics = service.metrics();
    let Busybody { needles, told, .. } = busybody;
    service.signal("TERM");
    assert!(service.ended().await.success());
    collector.until(|spans| spans.len() > 100).await;
    needles.are_not_in("the errors", &told);
    needles.are_not_in("the metrics", metrics.as_bytes());
    needles.are_not_in("the traces", &collector.bytes());
    needles.are_not_in("the log", service.log().as_bytes());
    assert!(service.log().contains("grpc.health"), "this was not the most verbose level");
    assert_eq!(needles.find(service.out().as_bytes()), None, "standard output");
    let doctor = setup.run(&["doctor"]);
    needles.are_not_in("the doctor's report", &[doctor.stdout, doctor.stderr].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_as_json() {
    tells_nothing(talkative(Setup::new(), "json")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_as_text_with_key_pairs() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let (_, setup) = Database::at(url.replace("postgres@", &format!("postgres:{PASSWORD}@")));
    tells_nothing(talkative(setup, "text").set("JWT_ALGORITHM", "ES256")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_session_tokens() {
    tells_nothing(talkative(Setup::new(), "text").set("JWT_AUTH_ENABLED", "false")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_databases_that_are_away_or_not_as_they_were_named() {
    let cluster = Cluster::shared();
    let (alive, dead) = (cluster.port(), free_port());
    let mut needles = Needles::default();
    needles.add("the database's password", PASSWORD);
    needles.add("JWT_SECRET", JWT_SECRET);
    for place in [
        format!("127.0.0.1:{dead}/postgres"),
        format!("127.0.0.1:{alive}/no_such_database"),
        format!("127.0.0.1:{alive}/postgres?sslmode=require"),
        format!("127.0.0.1:{alive}/postgres?application_name={PASSWORD}&nonsense={PASSWORD}"),
        format!("no-such-host.invalid/postgres?sslrootcert=/nowhere/{PASSWORD}"),
        "host:port/database".to_owned(),
        format!("127.0.0.1:{dead}/postgres?sslmode={PASSWORD}"),
    ] {
        let url = format!("postgres://nobody:{PASSWORD}@{place}");
        let setup = talkative(Setup::new(), "json").set("DATABASE_URL", &url);
        let setup = setup.set("REDIS_URL", &format!("redis://:{PASSWORD}@127.0.0.1:{dead}"));
        let mut told = Vec::new();
        for arguments in [&["migrate"][..], &["keys", "list"], &["rollout", "show"], &["doctor"]] {
            let output = setup.run(arguments);
            told.extend([output.stdout, output.stderr].concat());
        }
        told.extend(served(&setup).await);
        needles.are_not_in(&place, &told);
    }
}

/// Returns all output of a service without a database, and of one that does not start.
async fn served(setup: &Setup) -> Vec<u8> {
    let patience = ["timeout", "--kill-after=20", "4"];
    let trial = setup.clone().under(&patience).run(&[]);
    let mut told = [trial.stdout, trial.stderr].concat();
    if !tools::text(&told).contains("\"serving\"") {
        return told;
    }
    let service = setup.start().await;
    let client = service.tokens();
    for error in [
        crate::wire::try_issue(&client, "zoe").await.err(),
        crate::wire::refresh(&client, "tar_x").await.err(),
    ] {
        told.extend(format!("{error:?}").bytes());
    }
    for path in ["/readyz", "/healthz"] {
        told.extend(format!("{:?}", service.http().get(path).await).bytes());
    }
    told.extend(service.metrics().bytes());
    told.extend(service.log().bytes());
    told
}
