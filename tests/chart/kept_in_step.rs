//! The chart knows every setting of the service, and its README lists every value.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use token_authority::config::settings::SETTINGS;

use crate::helm::{chart, root, text};

/// The settings that the chart sets by other values, or never sets, with the reason.
const BY_THE_CHART: [&str; 19] = [
    // The chart is for production, where COOKIE_SECURE may not be false.
    "ENVIRONMENT",
    "COOKIE_SECURE",
    // Set by `database` and `secrets`.
    "DATA_DIR",
    "DATABASE_URL",
    "JWT_SECRET",
    "JWT_SECRET_PREVIOUS",
    "AUTHORITY_SECRET",
    "REDIS_URL",
    "BETTER_AUTH_SECRET",
    "LEGACY_DATABASE_URL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    // The chart sends traces alone, so the general headers are enough.
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    // Set by `grpc`, `http` and `metrics`.
    "GRPC_ADDR",
    "HTTP_ADDR",
    "METRICS_ADDR",
    // Set by `callers` and `tls`.
    "CALLERS_FILE",
    "TLS",
    "TLS_CERT",
    "TLS_KEY",
];

/// Set by `tls`, too.
const OF_TLS_TOO: &str = "TLS_CLIENT_CA";

/// Returns the settings that the chart's schema allows.
fn in_the_schema() -> BTreeSet<String> {
    let schema = std::fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let settings = schema["properties"]["settings"]["properties"].as_object().unwrap();
    settings.keys().cloned().collect()
}

#[test]
fn every_setting_can_be_set() {
    let schema = in_the_schema();
    let known: BTreeSet<&str> =
        schema.iter().map(String::as_str).chain(BY_THE_CHART).chain([OF_TLS_TOO]).collect();
    let missing: Vec<_> =
        SETTINGS.iter().map(|setting| setting.name).filter(|name| !known.contains(name)).collect();
    assert!(missing.is_empty(), "values.schema.json does not know {missing:?}");
}

#[test]
fn every_setting_of_the_schema_is_tried_out() {
    let everything = std::fs::read_to_string(chart().join("ci/everything-values.yaml")).unwrap();
    let everything: Value = serde_saphyr::from_str(&everything).unwrap();
    let tried = everything["settings"].as_object().unwrap();
    let missing: Vec<_> =
        in_the_schema().into_iter().filter(|name| !tried.contains_key(name)).collect();
    assert!(missing.is_empty(), "ci/everything-values.yaml does not set {missing:?}");
}

#[test]
fn the_version_is_the_service_s() {
    let chart = std::fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&chart).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_readme_is_current() {
    let output = Command::new(root().join("scripts/chart-readme")).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}
