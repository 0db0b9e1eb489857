//! The service is killed during refreshes, again and again, and no user is logged out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use test_support::replica::{Replica, Setup};
use test_support::until::TIMEOUT;
use token_authority::transport::proto::v1::ListSessionsRequest;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use tokio::sync::watch;
use tonic::transport::Endpoint;
use tonic_types::StatusExt as _;

use crate::database::Database;
use crate::wire::{self, Tokens};

const CLIENTS: usize = 20;
const ROUNDS: u32 = 5;

on_both! { whoever_retries_with_the_last_token_they_hold_goes_on }

/// The address of the service. `None`: the clients must end.
type Place = Option<SocketAddr>;

#[derive(Debug, Default)]
struct Counts {
    refreshed: AtomicU32,
    rotated: AtomicU32,
    cut_off: AtomicU32,
}

impl Counts {
    /// Waits for that many further refreshes.
    async fn grow(&self, more: u32) {
        let enough = self.refreshed.load(Ordering::Relaxed) + more;
        let deadline = Instant::now() + TIMEOUT;
        while self.refreshed.load(Ordering::Relaxed) < enough {
            assert!(Instant::now() < deadline, "no client makes progress: {self:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A browser: it holds the last token that it received, and presents it again until it gets an
/// answer.
struct Jar {
    token: String,
    counts: Arc<Counts>,
}

impl Jar {
    async fn refresh_on_and_on(mut self, mut place: watch::Receiver<Place>) -> Self {
        loop {
            let now = *place.borrow_and_update();
            let Some(address) = now else { return self };
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let client = TokenAuthorityServiceClient::new(endpoint.connect_lazy());
            while !place.has_changed().unwrap() {
                if !self.refresh(&client).await {
                    place.changed().await.unwrap();
                    break;
                }
            }
        }
    }

    /// Refreshes. Returns whether an answer came.
    async fn refresh(&mut self, client: &Tokens) -> bool {
        match wire::refresh(client, &self.token).await {
            Ok(answer) => {
                self.counts.refreshed.fetch_add(1, Ordering::Relaxed);
                if answer.refresh_token != self.token {
                    self.counts.rotated.fetch_add(1, Ordering::Relaxed);
                }
                self.token = answer.refresh_token;
                true
            }
            Err(error) => {
                let refused = error.get_error_details().error_info().cloned();
                assert!(refused.is_none(), "logged out: {error:?}");
                self.counts.cut_off.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

/// Restarts the service on the same data.
async fn restart(mut service: Replica, setup: &Setup, place: &watch::Sender<Place>) -> Replica {
    service.kill();
    let service = setup.start().await;
    place.send(Some(service.grpc())).unwrap();
    service
}

async fn whoever_retries_with_the_last_token_they_hold_goes_on(database: Database, setup: Setup) {
    // Without a window, nearly every refresh rotates.
    let setup = setup
        .set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0")
        .set("LOG_LEVEL", "warn,token_authority::cli=info");
    let mut service = setup.start().await;
    let (place, _) = watch::channel(Some(service.grpc()));
    let counts = Arc::new(Counts::default());
    let mut clients = Vec::new();
    for i in 0..CLIENTS {
        let issued = wire::issue(&service.tokens(), &format!("user-{i}")).await;
        let jar = Jar { token: issued.refresh_token, counts: Arc::clone(&counts) };
        clients.push(tokio::spawn(jar.refresh_on_and_on(place.subscribe())));
    }
    for round in 0..ROUNDS {
        // At a different point of a commit each time.
        counts.grow(80 + 13 * round).await;
        service = restart(service, &setup, &place).await;
    }
    counts.grow(80).await;
    place.send(None).unwrap();
    let jars: Vec<Jar> = join_all(clients).await.into_iter().map(Result::unwrap).collect();

    for (i, mut jar) in jars.into_iter().enumerate() {
        assert!(jar.refresh(&service.tokens()).await, "user {i} goes on");
        let ask = ListSessionsRequest { user_id: format!("user-{i}"), ..Default::default() };
        let listed = service.sessions().list_sessions(ask).await.unwrap().into_inner();
        assert_eq!(listed.sessions.len(), 1, "user {i}");
    }
    assert_eq!(database.count().await, i64::try_from(CLIENTS).unwrap());
    let (rotated, cut_off) = (&counts.rotated, &counts.cut_off);
    assert!(rotated.load(Ordering::Relaxed) > 300, "{counts:?}");
    assert!(cut_off.load(Ordering::Relaxed) >= ROUNDS, "{counts:?}");
}
