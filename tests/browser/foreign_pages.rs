//! Pages of other origins try to use the cookie (cross-site request forgery).

use crate::chromium::Tab;
use crate::product::{Product, is_refused};

/// All ways in which a page can make a browser send a request to a `URL`.
const ATTEMPTS: [(&str, &str); 7] = [
    ("fetch", "fetch(URL, {method: 'POST', credentials: 'include'})"),
    ("no-cors", "fetch(URL, {method: 'POST', credentials: 'include', mode: 'no-cors'})"),
    (
        "a body",
        "fetch(URL, {method: 'POST', credentials: 'include', mode: 'no-cors', body: 'a=b'})",
    ),
    (
        "keepalive",
        "fetch(URL, {method: 'POST', credentials: 'include', mode: 'no-cors', keepalive: true})",
    ),
    ("a beacon", "navigator.sendBeacon(URL, 'a=b')"),
    (
        "a form",
        "document.body.innerHTML = `<iframe name=frame></iframe>
            <form method=POST target=frame action='${URL}'></form>`
        document.forms[0].submit()",
    ),
    (
        "a sandbox's form, whose origin is null",
        "document.body.innerHTML = '<iframe sandbox=\"allow-scripts allow-forms\"></iframe>'
        document.querySelector('iframe').srcdoc = `<form method=POST action='${URL}'></form>
            <script>document.forms[0].submit()</` + `script>`",
    ),
];

/// Makes a page try all of them. Returns how often the cookie was sent.
async fn try_everything(product: &mut Product, tab: Tab) -> usize {
    let mut cookies = 0;
    for path in ["/api/auth/refresh", "/api/auth/logout"] {
        for (name, attempt) in ATTEMPTS {
            let cookie = product.cookie();
            let url = format!("'{}{path}'", product.authority());
            product.browser.begin(tab, &format!("{{ const URL = {url}; {attempt} }}"));
            let said = product.line.exchange().await;
            assert!(said.asked.starts_with(&format!("post {path} ")), "{name}: {said:?}");
            assert!(said.answered.starts_with("http/1.1 403 "), "{name}: {said:?}");
            assert!(!said.answered.contains("set-cookie"), "{name}: {said:?}");
            assert!(!said.answered.contains("access-control-allow-origin"), "{name}: {said:?}");
            assert_eq!(product.cookie(), cookie, "{name}");
            cookies += usize::from(said.asked.contains("cookie: refreshtoken="));
        }
    }
    cookies
}

/// Checks that the login's session was not changed, not even by a rotation, and goes on.
async fn is_untouched(product: &mut Product, tab: Tab) {
    let session = product.sessions("alice").await.remove(0);
    assert_eq!(session.last_used_at, session.created_at);
    let cookie = product.cookie();
    product.refresh(tab);
    assert_ne!(product.cookie().value, cookie.value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_can_do_nothing() {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    let stranger = product.stranger();
    let cookies = try_everything(&mut product, stranger).await;
    assert_eq!(cookies, 0, "SameSite must keep the cookie from being sent");
    is_untouched(&mut product, tab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_same_site_but_another_origin_can_do_nothing() {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    let stranger = product.stranger_of_the_site();
    let cookies = try_everything(&mut product, stranger).await;
    // Here SameSite does not help, and the origin is the reason for the refusal. A sandbox counts
    // as another site, however.
    assert_eq!(cookies, 2 * (ATTEMPTS.len() - 1));
    is_untouched(&mut product, tab).await;
}

/// The browser follows a link with the cookie, but a `GET` has no effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_from_another_site_does_nothing() {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    for path in ["/api/auth/refresh", "/api/auth/logout"] {
        let stranger = product.stranger();
        let url = format!("{}{path}", product.authority());
        product.browser.begin(stranger, &format!("void (location.href = '{url}')"));
        let said = product.line.exchange().await;
        assert!(said.asked.contains("cookie: refreshtoken="), "{said:?}");
        assert!(said.answered.starts_with("http/1.1 405 "), "{said:?}");
    }
    is_untouched(&mut product, tab).await;
}

/// An allowed origin is still another site.
#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_page_of_another_site_gets_no_cookie() {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    let elsewhere = product.tab_on_another_site();
    let answer = product.browser.run_in(elsewhere, "refresh()");
    is_refused(&answer, "invalid");
    is_untouched(&mut product, tab).await;
}
