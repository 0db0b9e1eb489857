//! The same product in browsers of every engine: Chromium, Firefox and `WebKit`.
//!
//! nginx before the service rewrites `Host`, and the page hides where it is from
//! (`Referrer-Policy: no-referrer`), so the service has only the browser's own word about the page.

use serde_json::{Value, json};
use test_support::nginx::Nginx;
use test_support::replica::{Replica, Setup};
use test_support::script::Script;
use test_support::until::until;
use token_authority::transport::proto::v1::ListSessionsRequest;

use crate::front_end::FrontEnd;
use crate::product::{is_refused, renewed};

/// One tab of a browser.
struct Browser(Script);

impl Browser {
    fn start(engine: &str) -> Self {
        let mut browser = Self(Script::node(concat!(
            include_str!("marionette.mjs"),
            include_str!("engines.mjs")
        )));
        browser.exchange(&json!({ "engine": engine })).unwrap();
        browser
    }

    fn open(&mut self, url: &str) {
        self.exchange(&json!({ "open": url })).unwrap();
    }

    /// What a script comes to, or how it failed.
    fn try_run(&mut self, script: &str) -> Result<Value, String> {
        self.exchange(&json!({ "run": script }))
    }

    fn run(&mut self, script: &str) -> Value {
        self.try_run(script).unwrap_or_else(|failure| panic!("{script}: {failure}"))
    }

    fn exchange(&mut self, ask: &Value) -> Result<Value, String> {
        let line = self.0.ask(&ask.to_string());
        let told: Value = serde_json::from_str(&line).expect("the driver answers");
        match &told["failed"] {
            Value::Null => Ok(told["done"].clone()),
            failure => Err(failure.as_str().unwrap().to_owned()),
        }
    }
}

/// A product behind nginx, and the port on which its page is of another origin.
struct Product {
    service: Replica,
    nginx: Nginx,
    elsewhere: u16,
}

impl Product {
    async fn start(setup: Setup, login: &str) -> Self {
        let (front_end, service) = (FrontEnd::bind().await, setup.start().await);
        service.ready().await;
        let elsewhere = front_end.port();
        front_end.serve(service.tokens());
        let page = format!("proxy_pass http://127.0.0.1:{elsewhere};");
        let directives = format!(
            "location = / {{ {page} add_header Referrer-Policy no-referrer; }}
             location = /login {{ {page} {login} }}"
        );
        let nginx = Nginx::before(service.http_addr(), &directives);
        Self { service, nginx, elsewhere }
    }

    fn page(&self) -> String {
        format!("http://localhost:{}/?authority=", self.nginx.port())
    }

    fn page_of_another_origin(&self) -> String {
        let authority = format!("http://localhost:{}", self.nginx.port());
        format!("http://localhost:{}/?authority={authority}", self.elsewhere)
    }

    async fn has_sessions(&self, user: &str) -> bool {
        let ask = ListSessionsRequest { user_id: user.into(), ..Default::default() };
        let listed = self.service.sessions().list_sessions(ask).await.unwrap();
        !listed.into_inner().sessions.is_empty()
    }
}

/// Serves a browser with a session from the login to the logout.
async fn is_served(mut browser: Browser, product: Product) {
    browser.open(&product.page());
    assert_eq!(browser.run("logIn('alice')"), 204);
    renewed(&browser.run("refresh()"));
    browser.run("document.cookie = 'city=Århus; Path=/', null");
    renewed(&browser.run("refresh()"));

    // A form of a page that hides its origin has the origin `null`.
    assert!(product.has_sessions("alice").await);
    browser.run(
        "document.body.innerHTML = '<iframe name=frame></iframe>' +
            '<form method=POST target=frame action=/api/auth/logout></form>',
         document.forms[0].submit()",
    );
    until("the session ends", async || (!product.has_sessions("alice").await).then_some(())).await;
    until("the cookie is gone", async || {
        (browser.run("refresh()")["body"]["reason"] == "invalid").then_some(())
    })
    .await;

    // A page of another origin sees an exception, not a status.
    assert_eq!(browser.run("logIn('bob')"), 204);
    browser.open(&product.page_of_another_origin());
    let failure = browser.try_run("refresh()").unwrap_err();
    assert!(failure.contains("TypeError"), "{failure}");
    let failure = browser.try_run("logOut()").unwrap_err();
    assert!(failure.contains("TypeError"), "{failure}");
    assert!(product.has_sessions("bob").await);
    let origin = format!("origin=\"http://localhost:{}\"", product.elsewhere);
    let metrics = product.service.metrics();
    let refused = format!("refresh_origin_refused_total{{host=\"authority\",{origin}}} 2");
    assert!(metrics.contains(&refused), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_is_served() {
    is_served(Browser::start("chromium"), Product::start(Setup::new(), "").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_is_served() {
    is_served(Browser::start("firefox"), Product::start(Setup::new(), "").await).await;
}

/// `WebKit` drops `Secure` cookies of `http://localhost`, so they have to do without.
#[tokio::test(flavor = "multi_thread")]
async fn webkit_is_served() {
    let mut browser = Browser::start("webkit");
    let secure = Product::start(Setup::new(), "").await;
    browser.open(&secure.page());
    assert_eq!(browser.run("logIn('alice')"), 204);
    is_refused(&browser.run("refresh()"), "invalid");

    let setup = Setup::new().set("COOKIE_SECURE", "false");
    let login = "proxy_cookie_flags refreshToken nosecure;";
    is_served(browser, Product::start(setup, login).await).await;
}
