//! Requests with hundreds of refresh cookies.

use http::Method;
use token_authority::clock::Timestamp;
use token_authority::token::id::{Generation, SessionId};
use token_authority::token::refresh::{LineageKey, RefreshToken};
use token_authority::transport::proto::v1::{IssueTokensRequest, ValidateTokenRequest};

use crate::probes::transactions;
use crate::target::Target;
use test_support::postgres::Cluster;

/// How many cookies fit into the headers that the service accepts.
const COOKIES: u8 = 230;

const REQUESTS: i64 = 20;

/// Refresh tokens of sessions that began in these seconds, and that nobody has opened here.
fn forged(second: i64) -> Vec<String> {
    let key = LineageKey::new([7; 32]);
    let token = |of: u8| {
        let id = SessionId::new(Timestamp::from_seconds(second + i64::from(of)), [of; 10]);
        RefreshToken::mint(&key, id, Generation::new(1), [of; 32]).expose()
    };
    (1..COOKIES).map(token).collect()
}

fn header(tokens: &[String]) -> String {
    let cookies: Vec<_> = tokens.iter().map(|token| format!("refreshToken={token}")).collect();
    cookies.join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn few_of_many_cookies_are_looked_up_and_the_live_one_is_found() {
    let database = Cluster::shared().make_database().await;
    let url = Cluster::shared().url(&database);
    let target = Target::start(&[("DATABASE_URL", &url)]).await;
    let http = target.service.http();
    let origin = format!("http://{}", target.service.http_addr());
    let logout = async |tokens: &[String], more: &[(&str, &str)]| {
        let cookie = header(tokens);
        let mut headers = vec![("cookie", cookie.as_str()), ("origin", origin.as_str())];
        headers.extend_from_slice(more);
        http.send(Method::POST, "/api/auth/logout", &headers).await.status
    };

    let before = transactions(&url, &database).await;
    let begun = std::time::Instant::now();
    let old = forged(1_000_000);
    for _ in 0..REQUESTS {
        assert_eq!(logout(&old, &[]).await, 204);
    }
    let seconds = i64::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    // Postgres counts with a delay.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let asked = transactions(&url, &database).await - before;
    // The followers ask a few times a second as well. Without a bound, it would be 4,580 look-ups.
    assert!(asked < 8 * REQUESTS + 30 * (seconds + 2), "{asked} transactions in {seconds} s");

    // A neighbour's cookies that claim to be newer hide the page's own only if it does not name its
    // session.
    for (forged, names_it) in [(old, false), (forged(4_000_000_000), true)] {
        let mut tokens = target.tokens().await;
        let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
        let issued = tokens.issue_tokens(ask).await.unwrap().into_inner();
        let mut cookies = forged;
        cookies.insert(100, issued.refresh_token);
        let named = [("x-session-id", issued.session_id.as_str())];
        let more = if names_it { &named[..] } else { &[] };
        assert_eq!(logout(&cookies, more).await, 204);
        let ask = ValidateTokenRequest { token: issued.access_token, ..Default::default() };
        assert!(!tokens.validate_token(ask).await.unwrap().into_inner().active, "{names_it}");
    }
}
