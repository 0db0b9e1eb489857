//! In a healthy installation nothing is found, and nothing is changed.

use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;

use crate::installation::{Installation, JWT_SECRET};

#[test]
fn sqlite_in_production() {
    let installation = Installation::healthy();
    let before = installation.files();
    installation.examine().assert_healthy();
    assert_eq!(installation.files(), before);
}

#[test]
fn development_before_its_first_start() {
    let installation =
        Installation::unmigrated().with("ENVIRONMENT", "development").without("JWT_SECRET");
    installation.examine().assert_healthy();
    assert_eq!(installation.files(), [], "the inspection created a file");
}

#[test]
fn development_on_localhost() {
    let installation = Installation::healthy()
        .with("ENVIRONMENT", "development")
        .with("JWT_ISSUER", "http://localhost:8080")
        .with("COOKIE_SECURE", "false")
        .with("ALLOWED_ORIGINS", "http://localhost:3000");
    installation.examine().assert_healthy();
}

#[tokio::test]
async fn postgres_in_production() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let report = Installation::on(&url).examine();
    report.assert_healthy();
    assert!(!report.all.iter().any(|(_, name, _)| name == "database.pooled"));
    assert!(
        report.message("database.clock").contains("ahead of")
            || report.message("database.clock").contains("behind")
    );
}

#[tokio::test]
async fn postgres_behind_a_pooler() {
    let database = Cluster::shared().make_database().await;
    let report = Installation::on(&PgBouncer::shared().url(&database)).examine();
    report.assert_healthy();
    assert!(report.message("database.pooled").contains("pooler"));
}

#[test]
fn settings_are_told_without_their_secrets() {
    let installation = Installation::healthy().with("JWT_ISSUER", "https://auth.example.com");
    let report = installation.examine();
    report.assert_healthy();
    let settings = report.message("settings");
    assert!(settings.contains("JWT_ISSUER=https://auth.example.com"), "{settings}");
    assert!(settings.contains("JWT_SECRET (a secret)"), "{settings}");
    // printf token-authority/fingerprint/v1 | openssl dgst -sha256 -hmac "$JWT_SECRET" | cut -c-8
    assert_eq!(JWT_SECRET.len(), 44);
    let fingerprints = report.message("secrets.fingerprints");
    assert!(
        fingerprints.contains("JWT_SECRET 190482f9, AUTHORITY_SECRET 0a57ca18"),
        "{fingerprints}"
    );
}

#[test]
fn people_get_a_table() {
    let output = Installation::healthy().run(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.lines().any(|line| line.starts_with("ok ") && line.contains("database.schema")));
    assert!(text.ends_with("worst: info; 0 errors, 0 warnings\n"), "{text}");
}
