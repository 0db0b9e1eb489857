//! Faults in the settings, one at a time, on an installation that is healthy otherwise.

use crate::installation::{AUTHORITY_SECRET, Installation, JWT_SECRET};

/// Variables to set on a healthy installation; what has to be found.
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
    (&[("JWT_SECRET", "0123456789abcdef0123456789abcdef")], "warn", "secrets.randomness"),
    (&[("REFRESH_COOKIE_NAME", "__Host-refresh")], "error", "settings"),
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
    (&[("ALLOWED_ORIGINS", "https://app.example.com:443")], "error", "cookie.origin"),
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
fn a_secret_file_that_is_missing_is_named() {
    let installation = Installation::healthy()
        .without("JWT_SECRET")
        .with("JWT_SECRET_FILE", "/nonexistent/secret");
    let report = installation.examine();
    report.assert_only("error", "settings");
    assert!(report.message("settings").contains("JWT_SECRET_FILE"));
}
