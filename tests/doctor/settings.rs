//! Faults in the settings, one at a time, on an otherwise healthy installation.

use crate::installation::{AUTHORITY_SECRET, Installation, JWT_SECRET};

/// Variables to set on a healthy installation, and the expected finding.
type Fault = (&'static [(&'static str, &'static str)], &'static str, &'static str);

const FAULTS: &[Fault] = &[
    (&[("JWT_LEEWAY_SECONDS", "soon")], "error", "settings"),
    (&[("AUTHORITY_SECRET", JWT_SECRET)], "error", "settings"),
    (&[("JWT_ACCESS_TOKEN_EXPIRY_MINUTES", "5")], "warn", "settings.misspelt"),
    (&[("ENVIRONMENT", "development"), ("GRPC_ADDR", "0.0.0.0:50051")], "warn", "settings.exposed"),
    (&[("SHUTDOWN_DELAY_SECONDS", "0")], "warn", "settings.shutdown"),
    (&[("MAX_CONNECTIONS", "1000000")], "warn", "process.descriptors"),
    (&[("BETTER_AUTH_SECRET", JWT_SECRET)], "error", "secrets.shared"),
    (&[("JWT_SECRET_PREVIOUS", AUTHORITY_SECRET)], "error", "settings"),
    (&[("JWT_SECRET", "7d1f9a40c6e83b52f09ad7416be8c325")], "warn", "secrets.randomness"),
    (&[("JWT_SECRET", "0123456789abcdef0123456789abcdef")], "error", "settings"),
    (&[("JWT_SECRET", "/run/secrets/jwt")], "error", "settings"),
    (&[("AUTHORITY_SECRET", "vault:secret/data/authority#secret-of-prod")], "error", "settings"),
    (
        &[("BETTER_AUTH_SECRET", "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=\n")],
        "warn",
        "secrets.invisible",
    ),
    (&[("TRUSTED_PROXIES", "")], "warn", "settings.proxy"),
    (&[("OTEL_METRICS_EXPORTER", "otlp")], "warn", "settings.telemetry"),
    (&[("OTEL_PROPAGATORS", "b3")], "warn", "settings.telemetry"),
    (
        &[("REFRESH_COOKIE_NAME", "__Host-refresh"), ("COOKIE_DOMAIN", "example.com")],
        "error",
        "settings",
    ),
    (
        &[
            ("REFRESH_COOKIE_NAME", "__Secure-refresh"),
            ("COOKIE_SECURE", "false"),
            ("ENVIRONMENT", "development"),
            ("ALLOWED_ORIGINS", "http://localhost:3000"),
        ],
        "error",
        "settings",
    ),
    (&[("ALLOWED_ORIGINS", "http://app.example.com")], "error", "cookie.secure"),
    (&[("COOKIE_SECURE", "false"), ("ENVIRONMENT", "development")], "error", "cookie.secure"),
    (
        &[("ALLOWED_ORIGINS", "https://app.example.com,https://app.example.net")],
        "warn",
        "cookie.site",
    ),
    (&[("JWT_ISSUER", "https://auth.example.net")], "warn", "cookie.site"),
    (&[("ALLOWED_ORIGINS", "https://app.example.com/path")], "error", "settings"),
    (&[("COOKIE_PARTITIONED", "true")], "warn", "cookie.partitioned"),
    (&[("REFRESH_CONCURRENCY_WINDOW_SECONDS", "5")], "error", "lifetimes.window"),
    (
        &[("REFRESH_CONCURRENCY_WINDOW_SECONDS", "60"), ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "1")],
        "warn",
        "lifetimes.window",
    ),
    (&[("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "600")], "warn", "lifetimes.access_token"),
    (
        &[("JWT_LEEWAY_SECONDS", "300"), ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "5")],
        "warn",
        "lifetimes.leeway",
    ),
    (&[("REFRESH_TOKEN_ROTATION", "false")], "warn", "lifetimes.rotation"),
];

#[test]
fn each_is_found_and_nothing_else() {
    for (variables, severity, name) in FAULTS {
        let plant = |installation: Installation, (name, value): &(&str, &str)| {
            installation.with(name, value)
        };
        let installation = variables.iter().fold(Installation::healthy(), plant);
        let report = installation.examine();
        assert_eq!(report.faults(), [(*severity, *name)], "{variables:?}");
        report.assert_only(severity, name);
    }
}

#[test]
fn service_links_of_kubernetes_are_no_misspelt_settings() {
    // Kubernetes sets these in every pod for Services named `authority` and `jwt-issuer`.
    let links = [
        ("AUTHORITY_SERVICE_HOST", "10.0.0.1"),
        ("AUTHORITY_SERVICE_PORT", "8080"),
        ("AUTHORITY_SERVICE_PORT_HTTP", "8080"),
        ("AUTHORITY_PORT", "tcp://10.0.0.1:8080"),
        ("AUTHORITY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("AUTHORITY_PORT_8080_TCP_PROTO", "tcp"),
        ("AUTHORITY_PORT_8080_TCP_PORT", "8080"),
        ("AUTHORITY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("JWT_ISSUER_SERVICE_HOST", "10.0.0.2"),
        ("JWT_ISSUER_SERVICE_PORT", "80"),
    ];
    let installation = links.iter().fold(Installation::healthy(), |installation, (name, value)| {
        installation.with(name, value)
    });
    installation.examine().assert_healthy();
    let misspelt = installation.with("AUTHORITY_SERCET", "x").examine();
    misspelt.assert_only("warn", "settings.misspelt");
    assert!(misspelt.message("settings.misspelt").contains("is AUTHORITY_SECRET meant?"));
}

#[test]
fn a_name_far_from_every_setting_gets_no_wrong_suggestion() {
    let report = Installation::healthy().with("JWT_PUBLIC_KEY_URL", "x").examine();
    report.assert_only("warn", "settings.misspelt");
    assert!(!report.message("settings.misspelt").contains("meant"), "{:?}", report.all);
}

#[test]
fn a_password_in_a_url_is_not_printed() {
    let url = "http://app:hunter2@collector:4317";
    let report = Installation::healthy().with("OTEL_EXPORTER_OTLP_ENDPOINT", url).examine();
    report.assert_healthy();
    let settings = report.message("settings");
    assert!(
        settings.contains("http://…@collector:4317") && !settings.contains("hunter2"),
        "{settings}"
    );
}

#[test]
fn a_secret_file_that_is_missing_is_named() {
    let installation = Installation::healthy()
        .without("JWT_SECRET")
        .with("JWT_SECRET_FILE", "/nonexistent/secret");
    let report = installation.examine();
    report.assert_only("error", "settings");
    assert!(report.message("settings").contains("JWT_SECRET_FILE"));
}
