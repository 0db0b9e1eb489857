//! Faults of the stored signing keys.

use test_support::postgres::Cluster;

use crate::installation::{AUTHORITY_SECRET, Installation};

const OTHER_SECRET: &str = "Qw7Zr2Lk9Vt4Xn8Bp3Mc6Hd1Fs5Gj0YaEuOiTqRwPzE=";

/// Creates a healthy installation with a signing key pair of that many days, and returns its
/// database's name.
async fn signing(days: u32) -> (Installation, String) {
    let cluster = Cluster::shared();
    let database = cluster.make_database().await;
    let installation = Installation::on(&cluster.url(&database)).with("JWT_ALGORITHM", "EdDSA");
    rotate(&installation);
    let ago = format!("now() - interval '{days} days'");
    let age = format!("UPDATE signing_keys SET created_at = {ago}, activates_at = {ago}");
    cluster.execute(&database, &age).await;
    (installation, database)
}

fn rotate(installation: &Installation) {
    let output = installation.run(&["keys", "rotate"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_pair_that_signs_and_one_that_is_prepared_are_no_fault() {
    let (installation, _) = signing(3).await;
    let report = installation.examine();
    report.assert_healthy();
    assert!(report.message("keys.signing").ends_with("signs with EdDSA"), "{:?}", report.all);
    rotate(&installation);
    installation.examine().assert_healthy();
    // Key pairs that remain after a change back to HS256 are no fault, either.
    let back = installation.with("JWT_ALGORITHM", "HS256").examine();
    back.assert_healthy();
    assert!(back.message("keys.signing").contains("keys retire"), "{:?}", back.all);
}

#[tokio::test]
async fn one_before_its_first_start_is_no_fault() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let installation = Installation::on(&url).with("JWT_ALGORITHM", "ES256");
    installation.examine().assert_healthy();
}

#[tokio::test]
async fn a_pair_on_sqlite_is_seen() {
    let installation = Installation::healthy().with("JWT_ALGORITHM", "EdDSA");
    rotate(&installation);
    installation.examine().assert_healthy();
    let other = installation.with("AUTHORITY_SECRET", OTHER_SECRET);
    other.examine().assert_only("warn", "keys.opened");
}

#[tokio::test]
async fn a_secret_that_does_not_open_what_signs() {
    let (installation, _) = signing(3).await;
    let report = installation.with("AUTHORITY_SECRET", OTHER_SECRET).examine();
    report.assert_only("error", "keys.opened");
    // printf token-authority/fingerprint/v1 | openssl dgst -sha256 -hmac "$AUTHORITY_SECRET"
    assert!(report.message("keys.opened").contains("0a57ca18"), "{:?}", report.all);
}

#[tokio::test]
async fn a_secret_that_does_not_open_what_will_sign_next() {
    let (installation, _) = signing(3).await;
    let changed = installation.with("AUTHORITY_SECRET", OTHER_SECRET);
    rotate(&changed);
    changed.with("AUTHORITY_SECRET", AUTHORITY_SECRET).examine().assert_only("warn", "keys.opened");
}

#[tokio::test]
async fn pairs_that_all_end() {
    for (when, severity) in [
        ("- interval '1 minute'", "error"),
        ("+ interval '30 minutes'", "error"),
        ("+ interval '2 days'", "warn"),
    ] {
        let (installation, database) = signing(3).await;
        let end = format!("UPDATE signing_keys SET ends_at = now() {when}");
        Cluster::shared().execute(&database, &end).await;
        installation.examine().assert_only(severity, "keys.expiry");
    }
}

#[tokio::test]
async fn a_rotation_that_is_late() {
    let (installation, _) = signing(31).await;
    let report = installation.examine();
    report.assert_only("warn", "keys.rotation");
    let other = installation.with("KEY_ROTATION_DAYS", "60");
    other.examine().assert_healthy();
}
