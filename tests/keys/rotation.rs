//! A rotation under load: two replicas mint, and `PyJWT`, jose and Envoy verify with cached key
//! sets. They must not refuse a single token, old or new.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use test_support::until::TIMEOUT;

use crate::client::{AUTHORITY, Keys as _, header};
use crate::verifier::{Envoy, Library, Verifier};

/// How long a key is published before it signs.
const PUBLISH: Duration = Duration::from_secs(8);
/// How long a verifier may cache the set: half of that.
const MAX_AGE: Duration = Duration::from_secs(4);
/// How long the load continues after the new key has begun to sign.
const AFTERWARDS: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn no_eddsa_token_is_refused_across_a_rotation() {
    rotate_under_load("EdDSA").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_es256_token_is_refused_across_a_rotation() {
    rotate_under_load("ES256").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rs256_token_is_refused_across_a_rotation() {
    rotate_under_load("RS256").await;
}

async fn rotate_under_load(algorithm: &str) {
    let cluster = Cluster::shared();
    let database = cluster.url(&cluster.make_database().await);
    let setup = Setup::on(&database)
        .set("JWT_ALGORITHM", algorithm)
        .set("AUTHORITY_SECRET", AUTHORITY)
        .set("KEY_PUBLISH_SECONDS", &PUBLISH.as_secs().to_string());
    let (one, other) = (setup.start().await, setup.start().await);
    let first = one.published();
    assert_eq!(first.len(), 1);
    assert_eq!(other.published(), first, "both replicas have the same first key");
    let (head, _) = one.get("/.well-known/jwks.json");
    assert!(head.contains("cache-control: public, max-age=4"), "{head}");

    let replicas = Arc::new([one, other]);
    let verifiers = verifiers(&replicas[1]);
    let load = tokio::task::spawn_blocking({
        let (replicas, runtime) = (Arc::clone(&replicas), tokio::runtime::Handle::current());
        let algorithm = algorithm.to_owned();
        move || runtime.block_on(Load::new(&replicas, verifiers, algorithm).run())
    });
    // Meanwhile, two operators rotate at the same moment.
    tokio::time::sleep(MAX_AGE).await;
    let rotations = [setup.clone(), setup.clone()]
        .map(|setup| std::thread::spawn(move || setup.run(&["keys", "rotate"]).status.success()));
    let done = rotations.map(|rotation| rotation.join().unwrap());
    assert_eq!(done.iter().filter(|done| **done).count(), 1, "one makes the next key");

    let kids = load.await.unwrap();
    assert_eq!(kids.len(), 2, "the new key has signed");
    let list = setup.succeed(&["keys", "list"]);
    let line = |kid: &str| list.lines().find(|line| line.starts_with(kid)).unwrap().to_owned();
    let (old, new) = (&first[0], kids.iter().find(|kid| **kid != first[0]).unwrap());
    assert!(line(old).contains("retiring") && !line(old).contains("never"), "{list}");
    assert!(line(new).contains("active"), "{list}");
    assert_eq!(replicas[0].published().len(), 2);
}

fn verifiers(replica: &Replica) -> Vec<Box<dyn Verifier>> {
    let set = format!("http://{}/.well-known/jwks.json", replica.http_addr());
    vec![
        Box::new(Library::pyjwt(&set)),
        Box::new(Library::jose(&set, MAX_AGE)),
        Box::new(Envoy::before(replica.http_addr(), MAX_AGE)),
    ]
}

/// Mints tokens, and verifies each with every verifier: when it is new, and again later.
struct Load<'a> {
    replicas: &'a [Replica; 2],
    verifiers: Vec<Box<dyn Verifier>>,
    algorithm: String,
    held: Vec<String>,
}

impl<'a> Load<'a> {
    fn new(
        replicas: &'a [Replica; 2],
        verifiers: Vec<Box<dyn Verifier>>,
        algorithm: String,
    ) -> Self {
        Self { replicas, verifiers, algorithm, held: Vec::new() }
    }

    /// Runs until a second key has signed for a while. Returns the names of the keys.
    async fn run(mut self) -> BTreeSet<String> {
        let (deadline, mut kids) = (Instant::now() + TIMEOUT + PUBLISH, BTreeSet::new());
        let (mut changed, mut turn) = (None::<Instant>, 0_usize);
        while changed.is_none_or(|changed| changed.elapsed() < AFTERWARDS) {
            assert!(Instant::now() < deadline, "no second key has signed");
            let token = self.mint(turn).await;
            assert_eq!(header(&token, "alg"), self.algorithm);
            if kids.insert(header(&token, "kid")) && kids.len() == 2 {
                changed = Some(Instant::now());
            }
            self.verify(&token).await;
            if turn == 0 {
                self.refuse_forgery(&token);
            }
            let old = self.held[turn % self.held.len()].clone();
            self.verify(&old).await;
            turn += 1;
        }
        kids
    }

    /// Mints a token at one of the replicas, by a login or by a refresh.
    async fn mint(&mut self, turn: usize) -> String {
        let client = self.replicas[turn % 2].client();
        let issued = client.issue("user").await.unwrap();
        self.held.push(issued.access_token.clone());
        if turn.is_multiple_of(3) {
            return client.refresh(&issued.refresh_token).await.unwrap().access_token;
        }
        issued.access_token
    }

    /// Checks that the verifiers refuse a forgery. Otherwise this test would prove nothing.
    fn refuse_forgery(&mut self, token: &str) {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let forged: String = signature.chars().rev().collect();
        for verifier in &mut self.verifiers {
            let refused = verifier.refuses(&format!("{signed}.{forged}"));
            assert!(refused.is_some(), "{} verifies nothing", verifier.name());
        }
    }

    async fn verify(&mut self, token: &str) {
        for replica in self.replicas {
            let answer = replica.client().validate(token).await.unwrap();
            assert!(answer.active, "{:?}", answer.inactive_reason());
        }
        for verifier in &mut self.verifiers {
            if let Some(why) = verifier.refuses(token) {
                panic!("{} refuses a live token: {why}", verifier.name());
            }
        }
    }
}
