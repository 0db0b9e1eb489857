//! The table "When something does not work" in `docs/rollout.md`: each fault is planted, and the
//! answer must be where the table says. `tests/doctor` plants the fault of the clocks.

use std::path::Path;
use std::process::Command;

use futures::future::join_all;
use http::Method;
use test_support::replica::{Replica, Setup};
use test_support::tools;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{IssueTokensRequest, RefreshAccessTokenRequest};

use tonic::transport::Channel;

type Client = TokenAuthorityServiceClient<Channel>;

/// Returns the row of the table that begins with this text.
fn row(begin: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rollout.md");
    let page = std::fs::read_to_string(page).unwrap();
    let row = page.lines().find(|line| line.starts_with(&format!("| {begin}")));
    // In a table, a bar is escaped.
    row.unwrap_or_else(|| panic!("no row {begin}")).replace("\\|", "|")
}

/// Returns the texts in backticks of a row.
fn quoted(row: &str) -> Vec<&str> {
    row.split('`').skip(1).step_by(2).collect()
}

/// Returns what the doctor reports for a check.
fn doctor(deployment: &Setup, name: &str) -> String {
    let output = deployment.run(&["doctor", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = told["findings"].as_array().unwrap();
    let found = all.iter().find(|finding| finding["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {told}"))["message"].as_str().unwrap().to_owned()
}

#[test]
fn another_secret_is_told_by_its_fingerprint() {
    const SECRET: &str = "instruments-kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa";
    const OTHERS: &str = "the-backend-s-own-kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9u";
    let row = row("a backend refuses every JWT");
    let quoted = quoted(&row);
    let check = *quoted.iter().find(|text| text.starts_with("secrets.")).unwrap();
    let command = *quoted.iter().find(|text| text.contains("openssl")).unwrap();
    // As the operator of a backend runs it.
    let fingerprint = |secret: &str| {
        let mut shell = Command::new("sh");
        let told = tools::feed(shell.args(["-c", command]).env("JWT_SECRET", secret), "");
        let digits = told.trim().rsplit(' ').next().unwrap();
        assert_eq!(digits.len(), 64, "{told}");
        digits[..8].to_owned()
    };
    assert_ne!(fingerprint(SECRET), fingerprint(OTHERS));
    for (own, others) in [(SECRET, OTHERS), (OTHERS, SECRET)] {
        let deployment = Setup::new().set("JWT_SECRET", own);
        let told = doctor(&deployment, check);
        assert!(told.contains(&format!("JWT_SECRET {}", fingerprint(own))), "{told}");
        assert!(!told.contains(&fingerprint(others)), "{told}");
        let output = deployment.run(&["doctor"]);
        for told in [&output.stdout, &output.stderr].map(|bytes| tools::text(bytes)) {
            let part = own.as_bytes().windows(12).any(|part| told.contains(&*tools::text(part)));
            assert!(!part, "{told}");
        }
    }
}

/// Returns the two series that a row names: refreshes without a cookie, and all refreshes of
/// browsers.
fn cookies(replica: &Replica, row: &str) -> (f64, f64) {
    let quoted = quoted(row);
    let find = |begin: &str| *quoted.iter().find(|text| text.starts_with(begin)).unwrap();
    let (missing, requests) = (find("refresh_cookie_"), find("http_server_"));
    let (name, route) = requests.trim_end_matches('}').split_once('{').unwrap();
    let page = replica.metrics();
    let sum = |of: &dyn Fn(&str) -> bool| -> f64 {
        let all = page.lines().filter(|line| of(line));
        all.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    let in_all = |line: &str| line.starts_with(&format!("{name}{{")) && line.contains(route);
    (sum(&|line| line.starts_with(&format!("{missing} "))), sum(&in_all))
}

#[tokio::test]
async fn a_cookie_that_is_not_sent_shows_in_the_metrics() {
    let row = row("the refresh cookie is not sent");
    let replica = Setup::new().start().await;
    let (http, path) = (replica.http(), "/api/auth/refresh");
    // These requests have a cookie, but no valid one.
    for _ in 0..3 {
        assert_eq!(http.refresh("nonsense").await.status, 401);
    }
    // Calls over gRPC need no cookie, whether they are refused or not.
    let ask = RefreshAccessTokenRequest { refresh_token: "nonsense".into(), ..Default::default() };
    assert!(replica.tokens().refresh_access_token(ask).await.is_err());
    in_all_tabs(&replica, &log_in(&replica).await).await;
    assert_eq!(cookies(&replica, &row), (0.0, 3.0));
    // These requests have no refresh cookie: no header, or only cookies of other names.
    for headers in [&[][..], &[("cookie", "theme=dark")], &[("cookie", "__Host-refresh=tar_x")]] {
        assert_eq!(http.send(Method::POST, path, headers).await.status, 401);
    }
    assert_eq!(cookies(&replica, &row), (3.0, 6.0));
}

#[tokio::test]
async fn several_tabs_at_once_are_no_theft() {
    let row = row("several tabs refresh at once");
    let quoted = quoted(&row);
    let benign = *quoted.iter().find(|text| text.contains("class=")).unwrap();
    let (name, class) = benign.trim_end_matches('}').split_once('{').unwrap();
    let verdicts = quoted.iter().filter(|text| ["young", "keep", "replay"].contains(text));
    let verdicts: Vec<_> =
        verdicts.map(|verdict| format!("{name}{{{class},verdict=\"{verdict}\"}}")).collect();
    let theft = format!("{name}{{class=\"suspicious\",verdict=\"theft\"}}");
    let [young, keep, replay] = &verdicts[..] else { panic!("{row}") };
    // One tab gets a successor, and all other tabs get the same one. After that, the token that all
    // hold was handed out a moment ago.
    let rotating = Setup::new().start().await;
    let first = log_in(&rotating).await;
    let second = in_all_tabs(&rotating, &first).await;
    assert_ne!(first, second);
    assert_eq!(in_all_tabs(&rotating, &second).await, second);
    let still = Setup::new().set("REFRESH_TOKEN_ROTATION", "false").start().await;
    let only = log_in(&still).await;
    assert_eq!(in_all_tabs(&still, &only).await, only);
    let seen = [(&rotating, replay, TABS - 1), (&rotating, young, TABS), (&still, keep, TABS)];
    for (replica, benign, times) in seen {
        let counts = [benign, &theft].map(|series| format!("{series} {}", replica.metric(series)));
        assert_eq!(counts, [format!("{benign} {times}"), format!("{theft} 0")]);
    }
}

const TABS: usize = 8;

async fn log_in(replica: &Replica) -> String {
    let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
    replica.tokens().issue_tokens(ask).await.unwrap().into_inner().refresh_token
}

/// Refreshes in all tabs at once. Returns the token that each tab then holds.
async fn in_all_tabs(replica: &Replica, token: &str) -> String {
    let tab = async |mut client: Client| {
        let ask = RefreshAccessTokenRequest { refresh_token: token.into(), ..Default::default() };
        client.refresh_access_token(ask).await.unwrap().into_inner().refresh_token
    };
    let client = replica.tokens();
    let mut held = join_all((0..TABS).map(|_| tab(client.clone()))).await;
    held.dedup();
    assert_eq!(held.len(), 1, "the tabs hold different tokens");
    held.remove(0)
}
