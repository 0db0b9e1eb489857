//! Changes of the signing secret or algorithm, one replica after another, under load: no live token
//! is refused and no client is logged out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use tonic::Status;

use crate::client::{AUTHORITY, Client, Keys, OTHER, SECRET, header, is_away};

const CLIENTS: usize = 6;
/// How long each state lasts.
const WHILE: Duration = Duration::from_secs(2);

/// Two replicas behind a balancer, and clients that call continuously.
struct World {
    replicas: [Replica; 2],
    up: Arc<RwLock<Vec<Client>>>,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl World {
    async fn begin(setup: &Setup) -> Self {
        let replicas = [setup.start().await, setup.start().await];
        let up = Arc::new(RwLock::new(replicas.iter().map(Keys::client).collect()));
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number| {
            let user = User { up: Arc::clone(&up), number, held: Vec::new() };
            tokio::spawn(user.live(Arc::clone(&stop)))
        };
        let clients = (0..CLIENTS).map(client).collect();
        let world = Self { replicas, up, stop, clients };
        tokio::time::sleep(WHILE).await;
        world
    }

    /// Replaces the replicas by ones with another setup, one after another.
    async fn roll(&mut self, setup: &Setup) {
        for place in 0..2 {
            self.replicas[place].end().await;
            self.replicas[place] = setup.start().await;
            let clients = self.replicas.iter().map(Keys::client).collect();
            *self.up.write().unwrap() = clients;
            tokio::time::sleep(WHILE).await;
        }
    }

    /// Ends the load. Returns the algorithm and key of every token, in the order of minting.
    async fn end(self) -> Vec<(String, String)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut signed = Vec::new();
        for client in self.clients {
            let tokens = client.await.unwrap();
            assert!(tokens.len() > 10, "there was hardly any load");
            let by = |token: &String| (header(token, "alg"), header(token, "kid"));
            signed.extend(tokens.iter().map(by));
        }
        signed.dedup();
        signed
    }
}

/// A user who stays logged in, and whose tokens are validated by any replica.
struct User {
    up: Arc<RwLock<Vec<Client>>>,
    number: usize,
    held: Vec<String>,
}

impl User {
    async fn live(mut self, stop: Arc<AtomicBool>) -> Vec<String> {
        let name = format!("user-{}", self.number);
        let issued = self
            .call(|client| {
                let name = name.clone();
                async move { client.issue(&name).await }
            })
            .await;
        let mut refresh_token = issued.refresh_token;
        self.held.push(issued.access_token);
        let mut turn = self.number;
        while !stop.load(Ordering::Relaxed) {
            turn += 1;
            let presented = refresh_token.clone();
            let renewed = self
                .call(|client| {
                    let presented = presented.clone();
                    async move { client.refresh(&presented).await }
                })
                .await;
            refresh_token = renewed.refresh_token;
            let old = self.held[turn * 7 % self.held.len()].clone();
            self.held.push(renewed.access_token.clone());
            for token in [renewed.access_token, old] {
                self.show(&token).await;
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        self.held
    }

    /// Validates a token at every replica that is up. None may refuse it.
    async fn show(&self, token: &str) {
        let clients = self.up.read().unwrap().clone();
        for client in clients {
            match client.validate(token).await {
                Ok(answer) => {
                    let why = answer.inactive_reason();
                    assert!(answer.active, "{why:?}: {}", header(token, "alg"));
                }
                Err(status) => assert!(is_away(&status), "{status}"),
            }
        }
    }

    /// Calls a replica, or the next one if that replica is shutting down.
    async fn call<T, F>(&self, ask: impl Fn(Client) -> F + Clone) -> T
    where
        F: Future<Output = Result<T, Status>>,
    {
        for attempt in 0.. {
            let client = {
                let up = self.up.read().unwrap();
                up[(self.number + attempt) % up.len()].clone()
            };
            match ask(client).await {
                Ok(answer) => return answer,
                Err(status) => {
                    assert!(is_away(&status) && attempt < 1000, "{status}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        unreachable!("the loop ends with an answer or a panic")
    }
}

async fn setup() -> Setup {
    let cluster = Cluster::shared();
    let database = cluster.url(&cluster.make_database().await);
    Setup::on(&database).set("JWT_SECRET", SECRET)
}

/// Returns the states in `keys list`.
fn states(setup: &Setup) -> Vec<String> {
    let list = setup.succeed(&["keys", "list"]);
    let state = |line: &str| line.split_whitespace().nth(2).unwrap().to_owned();
    list.lines().skip(1).map(state).collect()
}

fn algorithms(signed: &[(String, String)]) -> Vec<&str> {
    let mut names: Vec<&str> = signed.iter().map(|(algorithm, _)| &**algorithm).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_swapped_in_two_rounds() {
    let old = setup().await;
    let mut world = World::begin(&old).await;
    // First every replica learns the new secret, then every replica signs with it, then the old one
    // is removed.
    let coming = old.clone().set("JWT_SECRET_PREVIOUS", OTHER);
    world.roll(&coming).await;
    let swapped = old.clone().set("JWT_SECRET", OTHER).set("JWT_SECRET_PREVIOUS", SECRET);
    world.roll(&swapped).await;
    // The settings do not say whether the second secret is to sign later or has signed before.
    for setup in [coming, swapped] {
        assert_eq!(states(&setup), ["active", "verifying"]);
    }
    let signed = world.end().await;
    let kids: std::collections::BTreeSet<_> = signed.iter().map(|(_, kid)| kid).collect();
    assert_eq!((kids.len(), algorithms(&signed)), (2, vec!["HS256"]));
}

/// The replica with the old setup has no `AUTHORITY_SECRET`, and still verifies.
#[tokio::test(flavor = "multi_thread")]
async fn from_a_secret_to_key_pairs_and_back() {
    let old = setup().await;
    let mut world = World::begin(&old).await;
    let moved = old.clone().set("JWT_ALGORITHM", "EdDSA").set("AUTHORITY_SECRET", AUTHORITY);
    world.roll(&moved).await;
    let fresh = world.replicas[0].client().issue("fresh").await.unwrap();
    assert_eq!(header(&fresh.access_token, "alg"), "EdDSA");
    assert_eq!(states(&moved), ["verifying", "active"]);
    world.roll(&old).await;
    let fresh = world.replicas[0].client().issue("fresh").await.unwrap();
    assert_eq!(header(&fresh.access_token, "alg"), "HS256");
    assert_eq!(
        world.replicas[0].published().len(),
        1,
        "it still verifies the tokens that it signed"
    );
    assert_eq!(states(&old), ["active", "verifying"]);
    old.succeed(&["keys", "retire"]);
    assert_eq!(states(&old), ["active", "retiring"]);
    let signed = world.end().await;
    assert_eq!(algorithms(&signed), ["EdDSA", "HS256"]);
}

/// As the documents describe: the key is published first, so that verifiers with a cached key set
/// know it, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_may_be_prepared() {
    let old = setup().await;
    let moved = old
        .clone()
        .set("JWT_ALGORITHM", "EdDSA")
        .set("AUTHORITY_SECRET", AUTHORITY)
        .set("KEY_PUBLISH_SECONDS", "3");
    let mut world = World::begin(&old).await;
    moved.succeed(&["keys", "rotate"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(world.replicas[1].published().len(), 1, "it is published although HS256 signs");
    let fresh = world.replicas[1].client().issue("fresh").await.unwrap();
    assert_eq!(header(&fresh.access_token, "alg"), "HS256");
    assert_eq!(states(&old), ["active", "verifying"], "the pair is ready, not at its end");
    world.roll(&moved).await;
    let signed = world.end().await;
    assert_eq!(algorithms(&signed), ["EdDSA", "HS256"]);
}

/// From one key pair to another: the old one signs until verifiers know the new one.
#[tokio::test(flavor = "multi_thread")]
async fn from_one_asymmetric_algorithm_to_another() {
    let old = setup()
        .await
        .unset("JWT_SECRET")
        .set("AUTHORITY_SECRET", AUTHORITY)
        .set("KEY_PUBLISH_SECONDS", "3")
        .set("JWT_ALGORITHM", "EdDSA");
    let mut world = World::begin(&old).await;
    world.roll(&old.clone().set("JWT_ALGORITHM", "ES256")).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(algorithms(&world.end().await), ["ES256", "EdDSA"]);
}
