//! A user logs in, and the page refreshes its access token with a cookie that it cannot read.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::chromium::Cookie;
use crate::product::{Product, is_refused};

/// A week: the lifetime of a session after a refresh.
const WEEK: f64 = 7.0 * 86_400.0;

/// Checks that a cookie has the attributes of the contract.
fn is_as_agreed(cookie: &Cookie) {
    assert_eq!((cookie.name.as_str(), cookie.path.as_str()), ("refreshToken", "/api/auth"));
    // A cookie without `Domain`. With one, the browser would show a leading dot.
    assert_eq!(cookie.domain, "localhost");
    assert!(cookie.http_only && cookie.secure, "{cookie:?}");
    assert_eq!(cookie.same_site, "Lax");
    #[expect(clippy::disallowed_methods, reason = "the browser's clock is the machine's")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((cookie.expires - now - WEEK).abs() < 120.0, "{cookie:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_sets_a_cookie_that_only_the_service_reads() {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    let by_the_auth_server = product.cookie();
    is_as_agreed(&by_the_auth_server);
    assert_eq!(product.browser.run_in(tab, "document.cookie"), "");

    let first = product.refresh(tab);
    let by_the_service = product.cookie();
    is_as_agreed(&by_the_service);
    assert_ne!(
        by_the_service.value, by_the_auth_server.value,
        "the service replaces the auth-server's cookie"
    );
    assert_eq!(product.browser.run_in(tab, "document.cookie"), "");

    let second = product.refresh(tab);
    assert_ne!(first, second);
    assert_eq!(product.cookie(), by_the_service, "a young token stays");
    for token in [first, second] {
        let told = product.validate(&token).await;
        assert!(told.active && told.user_id == "alice", "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_logged_in_is_told_so() {
    let mut product = Product::start().await;
    let tab = product.tab();
    let answer = product.browser.run_in(tab, "refresh()");
    is_refused(&answer, "invalid");
    assert!(product.browser.jar().is_empty());
}
