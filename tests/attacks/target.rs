//! The service under attack, and an honest client beside the attacker.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use token_authority::transport::proto::v1::session_service_client::SessionServiceClient;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{IssueTokensRequest, ValidateTokenRequest};
use tokio::task::JoinHandle;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use test_support::http::Http;
use test_support::replica::{Replica as Service, Setup};
use test_support::until::until;

/// How long an honest client waits.
const HONEST: Duration = Duration::from_secs(15);

/// How many rounds of calls it makes before the attack.
const QUIET_ROUNDS: u32 = 5;

/// How many rounds of calls it makes beside the attack at least.
const ROUNDS: u32 = 100;

/// A service with one caller.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) service: Service,
    pub(crate) setup: Setup,
    pub(crate) key: String,
}

/// Adds the key to each call.
#[derive(Debug, Clone)]
pub(crate) struct Key(MetadataValue<Ascii>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub(crate) type Tokens = TokenAuthorityServiceClient<InterceptedService<Channel, Key>>;
pub(crate) type Sessions = SessionServiceClient<InterceptedService<Channel, Key>>;

impl Target {
    /// Starts the service with these settings.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_from(Setup::new(), settings).await
    }

    pub(crate) async fn start_from(setup: Setup, settings: &[(&str, &str)]) -> Self {
        let setup = settings.iter().fold(setup, |setup, (name, value)| setup.set(name, value));
        let setup = setup.set("CALLERS_FILE", "callers.json");
        let key = add(&setup, "honest", &["issuer", "adapter", "verifier", "admin"]);
        let service = setup.start().await;
        service.ready().await;
        Self { service, setup, key }
    }

    pub(crate) async fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.service.grpc())).unwrap();
        endpoint.connect_timeout(HONEST).timeout(HONEST).connect().await.unwrap()
    }

    /// Returns a client of its tokens, on a new connection.
    pub(crate) async fn tokens(&self) -> Tokens {
        TokenAuthorityServiceClient::with_interceptor(self.connect().await, key(&self.key))
    }

    /// Returns a client of its sessions, on a new connection, with that key.
    pub(crate) async fn sessions(&self, of: &str) -> Sessions {
        SessionServiceClient::with_interceptor(self.connect().await, key(of))
    }

    /// Returns the resident memory in MiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.service.pid()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() / 1024
    }

    /// Runs `attack`. Returns by how much the resident memory grew at most, in MiB.
    pub(crate) async fn growth<T>(&self, attack: impl Future<Output = T>) -> (u64, T) {
        let before = self.resident();
        let most = AtomicU32::new(0);
        let watch = async {
            loop {
                let grown = self.resident().saturating_sub(before);
                most.fetch_max(u32::try_from(grown).unwrap(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let done = tokio::select! {
            done = attack => done,
            () = watch => unreachable!("the loop never ends"),
        };
        let grown = self.resident().saturating_sub(before);
        (u64::from(most.into_inner()).max(grown), done)
    }

    /// Starts an honest client that makes calls on old and new connections, and another one of a
    /// service that nobody attacks. Both suffer alike from an attacker who takes the machine's
    /// processors. What the attacked service adds is the difference.
    pub(crate) async fn honest(&self) -> Honest {
        let spared = Box::new(Self::start(&[]).await);
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let beside = self.rounds().await.start(Arc::clone(&stop), Arc::clone(&calls));
        let apart = spared.rounds().await.start(Arc::clone(&stop), Arc::default());
        until("the honest client has begun", async || {
            (calls.load(Ordering::Relaxed) >= QUIET_ROUNDS).then_some(())
        })
        .await;
        Honest { stop, calls, beside, apart, _spared: spared }
    }

    async fn rounds(&self) -> Rounds {
        let mut tokens = self.tokens().await;
        let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
        let issued = tokens.issue_tokens(ask).await.unwrap().into_inner();
        let endpoint = Endpoint::from_shared(format!("http://{}", self.service.grpc())).unwrap();
        Rounds {
            tokens,
            endpoint: endpoint.connect_timeout(HONEST).timeout(HONEST),
            http: self.service.http(),
            key: key(&self.key),
            validate: ValidateTokenRequest { token: issued.access_token, ..Default::default() },
        }
    }
}

/// The calls of an honest client.
struct Rounds {
    /// On a connection that stays.
    tokens: Tokens,
    /// For new connections.
    endpoint: Endpoint,
    http: Http,
    key: Key,
    validate: ValidateTokenRequest,
}

type Running = JoinHandle<Result<Vec<Duration>, String>>;

impl Rounds {
    /// Makes rounds of calls until it is stopped.
    fn start(mut self, stop: Arc<AtomicBool>, calls: Arc<AtomicU32>) -> Running {
        tokio::spawn(async move {
            let mut took = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                took.push(self.one().await?);
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(took)
        })
    }

    /// Makes one call of each kind. Returns how long they took.
    async fn one(&mut self) -> Result<Duration, String> {
        let begun = Instant::now();
        let answer = self.tokens.validate_token(self.validate.clone()).await;
        assert!(answer.map_err(|error| format!("kept: {error}"))?.into_inner().active);
        let new = self.endpoint.connect().await.map_err(|error| format!("new: {error:?}"))?;
        let mut new = TokenAuthorityServiceClient::with_interceptor(new, self.key.clone());
        let answer = new.validate_token(self.validate.clone()).await;
        answer.map_err(|error| format!("new: {error}"))?;
        let health =
            tokio::time::timeout(HONEST, self.http.try_send(http::Method::GET, "/healthz", &[]));
        let health = health.await.map_err(|late| format!("healthz: {late}"))?;
        match health.map_err(|error| format!("healthz: {error}"))?.status {
            200 => Ok(begun.elapsed()),
            status => Err(format!("healthz: {status}")),
        }
    }
}

/// Adds a caller. Returns its key.
pub(crate) fn add(setup: &Setup, name: &str, roles: &[&str]) -> String {
    let added = setup.run(&[&["callers", "add", name, "--role"], roles].concat());
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    String::from_utf8(added.stdout).unwrap().trim().to_owned()
}

pub(crate) fn key(key: &str) -> Key {
    Key(format!("Bearer {key}").parse().unwrap())
}

/// A running honest client, and the one of the service that nobody attacks.
#[derive(Debug)]
pub(crate) struct Honest {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU32>,
    beside: Running,
    apart: Running,
    /// The service that nobody attacks.
    _spared: Box<Target>,
}

impl Honest {
    /// Ends it at once.
    pub(crate) fn abort(self) {
        self.beside.abort();
        self.apart.abort();
    }

    /// Ends it once it has made enough calls. Each call must have been answered, and most of them
    /// at most three times as late as those of the service that nobody attacks.
    #[expect(clippy::print_stdout, reason = "for reading the times: cargo test -- --nocapture")]
    pub(crate) async fn end(self) {
        let before = self.calls.load(Ordering::Relaxed);
        let deadline = Instant::now() + Duration::from_mins(1);
        let enough = (before + 3).max(QUIET_ROUNDS + ROUNDS);
        while self.calls.load(Ordering::Relaxed) < enough && !self.beside.is_finished() {
            assert!(Instant::now() < deadline, "the honest client is not answered");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        let beside = Times::of(self.beside.await.unwrap().unwrap());
        let apart = Times::of(self.apart.await.unwrap().unwrap());
        println!("honest client of the attacked service: {beside}");
        println!("honest client of the other service: {apart}");
        assert!(beside.at(50) <= 3 * apart.at(50), "attacked: {beside}; otherwise: {apart}");
    }
}

/// How long rounds took once the attack had begun.
#[derive(Debug)]
struct Times(Vec<Duration>);

impl Times {
    fn of(took: Vec<Duration>) -> Self {
        let mut took: Vec<_> = took.into_iter().skip(QUIET_ROUNDS as usize).collect();
        took.sort_unstable();
        Self(took)
    }

    fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(took) = self;
        write!(f, "{} rounds, median {:?}, ", took.len(), self.at(50))?;
        write!(f, "p90 {:?}, p99 {:?}", self.at(90), self.at(99))
    }
}
