//! The quickstart's own backend, `FastAPI` with `PyJWT`, with the same users.

use std::time::Duration;

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use test_support::http::Http;
use tokio::time::Interval;

use crate::program::Program;
use crate::traffic::rhythm_of;
use crate::user::User;

/// How often each user's token is checked: less often than here, because it is a single Python
/// process.
const RHYTHM: Duration = Duration::from_millis(400);
/// How often each token is checked, in each of the two ways.
const CHECKS: usize = 8;

/// The figures of one of its two ways.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) queries_a_validation: f64,
    /// The 95th percentile of the durations of validations, in microseconds.
    pub(crate) p95: f64,
}

/// One user's tokens of both kinds.
#[derive(Debug)]
pub(crate) struct Check {
    user_id: String,
    session_token: String,
    jwt: String,
}

/// Selects the token that is presented.
type Token = fn(&Check) -> &str;

/// Returns the checks while every user has a JWT.
pub(crate) fn checks(users: &[User]) -> Vec<Check> {
    let check = |user: &User| Check {
        user_id: user.member.user_id.clone(),
        session_token: user.member.token.clone(),
        jwt: user.held().unwrap().access.clone(),
    };
    users.iter().map(check).collect()
}

/// Checks every user's tokens by its look-ups and by `PyJWT` with the service's secret, one way after
/// the other.
pub(crate) async fn measure(database: &str, secret: &str, checks: Vec<Check>) -> [Way; 2] {
    let settings = json!({ "database": database, "secret": secret });
    let program = Program::python("quickstart.py", &settings);
    let http = program.http();
    let ways: [(&str, Token); 2] =
        [("/session", |check| &check.session_token), ("/jwt", |check| &check.jwt)];
    for (path, token) in ways {
        let ask = |(n, check): (usize, &Check)| {
            let rhythm = rhythm_of(n, checks.len(), RHYTHM);
            ask(http.clone(), rhythm, path, token(check).into(), check.user_id.clone())
        };
        join_all(checks.iter().enumerate().map(ask)).await;
    }
    let told = http.get("/figures").await.json();
    ["session", "jwt"].map(|way| read(&told[way], checks.len() * CHECKS))
}

async fn ask(http: Http, mut rhythm: Interval, path: &str, token: String, user_id: String) {
    let authorization = format!("Bearer {token}");
    for _ in 0..CHECKS {
        rhythm.tick().await;
        let headers = [("authorization", authorization.as_str())];
        let answer = http.send(Method::GET, path, &headers).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["user"], user_id.as_str());
    }
}

fn read(told: &Value, asked: usize) -> Way {
    let number = |name: &str| told[name].as_f64().unwrap();
    assert_eq!(told["validations"], asked);
    Way {
        queries_a_validation: number("queries") / number("validations"),
        p95: number("p95") * 1e6,
    }
}
