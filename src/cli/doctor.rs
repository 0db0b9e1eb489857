//! `token-authority doctor`: checks this installation and changes nothing.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;

use crate::app::{inspect, process_limits};
use crate::clock::{Clock as _, SystemClock};
use crate::config::settings::SETTINGS;
use crate::config::source::Given;
use crate::config::{self, Config};
use crate::doctor::{self, Finding, Installation, Severity, observe};

/// Runs the checks and prints the report. The exit code is that of the worst finding: 0 for
/// information, 1 for a warning, 2 for an error.
pub(super) async fn run(given: &Given, as_json: bool) -> ExitCode {
    let findings = match Config::read(given) {
        Ok(config) => examine(given, &config).await,
        Err(problems) => doctor::refused(&problems),
    };
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    let report = if as_json {
        format!("{:#}\n", json!({ "worst": worst, "findings": findings }))
    } else {
        table(&findings, worst)
    };
    let _ = std::io::stdout().write_all(report.as_bytes());
    ExitCode::from(match worst {
        Severity::Ok | Severity::Info => 0,
        Severity::Warn => 1,
        Severity::Error => 2,
    })
}

async fn examine(given: &Given, config: &Config) -> Vec<Finding> {
    let clock = SystemClock;
    let database = match inspect::database(config) {
        Ok(database) => observe::database(config, &*database, &clock).await,
        Err(error) => return doctor::refused(&[error]),
    };
    let legacy = match inspect::legacy_rows(config) {
        Ok(rows) => observe::legacy(config, rows.as_deref()).await,
        Err(error) => return doctor::refused(&[error]),
    };
    let legacy_place = match inspect::legacy_place(config) {
        Ok(place) => place,
        Err(error) => return doctor::refused(&[error]),
    };
    let jwt_secret = match config.shared_secret() {
        Ok(secret) => secret,
        Err(error) => return doctor::refused(&[error]),
    };
    let installation = Installation {
        config,
        given: listed(given),
        environment: std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect(),
        unsupported: config::unsupported(|name| std::env::var(name).ok()),
        jwt_secret,
        database,
        legacy,
        legacy_place,
        files: observe::files(config, &config.kept_secret_path()),
        unservable: Config::read_to_serve(given).err().unwrap_or_default(),
        callers: inspect::callers(config),
        certificate: inspect::certificate(config),
        descriptors: process_limits::allowed_descriptors(),
        replica: inspect::own_metrics(config).await,
        now: clock.now(),
    };
    doctor::examine(&installation)
}

/// Returns the settings that differ from their defaults. Secrets are listed without their values.
fn listed(given: &Given) -> Vec<(&'static str, Option<String>)> {
    let differing = SETTINGS.iter().filter_map(|setting| {
        let text = given.get(setting.name).filter(|text| Some(*text) != setting.default)?;
        Some((setting.name, (!setting.secret).then(|| without_credentials(text))))
    });
    differing.collect()
}

/// Hides a user name and password in a URL.
fn without_credentials(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => text.to_owned(),
    }
}

fn table(findings: &[Finding], worst: Severity) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { severity, name, message } in findings {
        let _ = writeln!(text, "{:5}  {name:width$}  {message}", severity.as_str());
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warn));
    let worst = worst.as_str();
    let _ = writeln!(text, "\nworst: {worst}; {errors} errors, {warnings} warnings");
    text
}
