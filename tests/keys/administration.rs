//! The operator's commands, and their output.

use std::time::Duration;

use test_support::replica::Setup;
use test_support::until::TIMEOUT;

use crate::client::{AUTHORITY, Keys as _, OTHER, SECRET, header};

fn pairs() -> Setup {
    Setup::new().set("JWT_ALGORITHM", "EdDSA").set("AUTHORITY_SECRET", AUTHORITY)
}

#[test]
fn key_pairs_without_the_services_own_secret_are_refused_at_the_start() {
    let output = pairs().unset("AUTHORITY_SECRET").run(&["serve"]);
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("AUTHORITY_SECRET is required with JWT_ALGORITHM=EdDSA"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_by_its_fingerprint() {
    let setup = pairs();
    let mut replica = setup.start().await;
    assert_eq!(replica.published().len(), 1);
    replica.end().await;
    let output = setup.clone().set("AUTHORITY_SECRET", OTHER).run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("does not open the signing key"), "{told}");
    for secret in [AUTHORITY, OTHER] {
        let secret = token_authority::keys::Secret::new(secret);
        assert!(told.contains(&secret.fingerprint()), "{told}");
    }
    assert!(!told.contains(&OTHER[..12]) && !told.contains(&AUTHORITY[..12]));
    // No harm was done: with the right secret, the service continues with the same key.
    let again = setup.start().await;
    assert_eq!(again.published(), replica_kids(&setup));
}

fn replica_kids(setup: &Setup) -> Vec<String> {
    let list = setup.succeed(&["keys", "list"]);
    let kid = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    list.lines().skip(1).map(kid).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_shared_with_the_auth_server_is_warned_of() {
    let setup = Setup::new().set("JWT_SECRET", SECRET).set("BETTER_AUTH_SECRET", SECRET);
    let log = setup.start().await.log();
    assert!(log.contains("JWT_SECRET equals BETTER_AUTH_SECRET"), "{log}");
    assert!(!log.contains(SECRET));
    let log = setup.set("BETTER_AUTH_SECRET", OTHER).start().await.log();
    assert!(!log.contains("BETTER_AUTH_SECRET"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compromised_key_is_dropped_and_clients_refresh() {
    let setup = pairs();
    let replica = setup.start().await;
    let client = replica.client();
    let before = client.issue("user").await.unwrap();
    let told = setup.succeed(&["keys", "rotate", "--compromised"]);
    assert!(told.starts_with("EdDSA "), "{told}");
    let deadline = std::time::Instant::now() + TIMEOUT;
    while client.validate(&before.access_token).await.unwrap().active {
        assert!(std::time::Instant::now() < deadline, "the token is still accepted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let old = header(&before.access_token, "kid");
    assert!(!replica.published().contains(&old));
    let after = client.refresh(&before.refresh_token).await.unwrap();
    assert_ne!(header(&after.access_token, "kid"), old);
    assert!(client.validate(&after.access_token).await.unwrap().active);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_to_rotate_under_hs256() {
    let setup = Setup::new();
    let replica = setup.start().await;
    let output = setup.run(&["keys", "rotate"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("JWT_ALGORITHM is HS256"));
    let kid = header(&replica.client().issue("user").await.unwrap().access_token, "kid");
    let list = setup.succeed(&["keys", "list"]);
    let line = list.lines().nth(1).unwrap();
    assert!(line.starts_with(&kid) && line.contains("HS256") && line.contains("active"), "{list}");
}
