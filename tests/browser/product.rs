//! A product: the service, a front end on another port of localhost, and a browser with its page.

use std::time::Duration;

use serde_json::Value;
use test_support::replica::{Replica, Setup};
use test_support::until::until;
use token_authority::transport::proto::v1::{
    ListSessionsRequest, Session, ValidateTokenRequest, ValidateTokenResponse,
};

use crate::chromium::{Chromium, Cookie, Tab};
use crate::clock::Clock;
use crate::front_end::FrontEnd;
use crate::line::Line;

/// Longer than the concurrency window.
pub(crate) const LATER: Duration = Duration::from_secs(31);

/// Longer than an access token has to be in use before it proves that the browser holds the cookie.
pub(crate) const PROVEN: Duration = Duration::from_secs(62);

/// A running product, and a browser with an empty jar.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) service: Replica,
    pub(crate) line: Line,
    pub(crate) clock: Clock,
    pub(crate) browser: Chromium,
    front_end: u16,
    /// Serves the same page from an origin that is not allowed.
    stranger: u16,
}

impl Product {
    pub(crate) async fn start() -> Self {
        Self::on(Setup::new()).await
    }

    /// Starts the product with that setup of the service.
    pub(crate) async fn on(setup: Setup) -> Self {
        let (front_end, stranger) = (FrontEnd::bind().await, FrontEnd::bind().await);
        let port = front_end.port();
        // The second origin is allowed by mistake. It is another site, whose pages get no cookie.
        let origins = format!("http://localhost:{port},http://127.0.0.1:{port}");
        let (setup, clock) = Clock::of(setup.set("ALLOWED_ORIGINS", &origins));
        let service = setup.start().await;
        service.ready().await;
        let line = Line::to(service.http_addr()).await;
        let product = Self {
            line,
            clock,
            browser: Chromium::start(),
            front_end: port,
            stranger: stranger.port(),
            service,
        };
        front_end.serve(product.service.tokens());
        stranger.serve(product.service.tokens());
        product
    }

    /// Returns the address at which pages reach the service.
    pub(crate) fn authority(&self) -> String {
        format!("http://localhost:{}", self.line.port())
    }

    /// Opens the product's page in a new tab.
    pub(crate) fn tab(&mut self) -> Tab {
        self.page("localhost", self.front_end)
    }

    /// Opens its page under an address of another site.
    pub(crate) fn tab_on_another_site(&mut self) -> Tab {
        self.page("127.0.0.1", self.front_end)
    }

    /// Opens a foreign page of the same site. Another port does not make another site.
    pub(crate) fn stranger_of_the_site(&mut self) -> Tab {
        self.page("localhost", self.stranger)
    }

    /// Opens a foreign page of another site.
    pub(crate) fn stranger(&mut self) -> Tab {
        self.page("127.0.0.1", self.stranger)
    }

    fn page(&mut self, host: &str, port: u16) -> Tab {
        let url = format!("http://{host}:{port}/?authority={}", self.authority());
        self.browser.open(&url)
    }

    /// Logs a user in, on the product's page.
    pub(crate) fn log_in(&mut self, tab: Tab, user: &str) {
        let status = self.browser.run_in(tab, &format!("logIn('{user}')"));
        assert_eq!(status, 204);
    }

    /// Makes a page refresh. Returns its new access token.
    pub(crate) fn refresh(&mut self, tab: Tab) -> String {
        renewed(&self.browser.run_in(tab, "refresh()"))
    }

    /// Makes a page refresh, and checks the refusal. The jar is empty from then on.
    pub(crate) fn is_logged_out(&mut self, tab: Tab, reason: &str) {
        is_refused(&self.browser.run_in(tab, "refresh()"), reason);
        assert_eq!(self.browser.jar(), []);
    }

    /// Returns the only cookie in the jar.
    pub(crate) fn cookie(&mut self) -> Cookie {
        let mut jar = self.browser.jar();
        assert_eq!(jar.len(), 1, "{jar:?}");
        jar.remove(0)
    }

    /// Validates an access token.
    pub(crate) async fn validate(&self, token: &str) -> ValidateTokenResponse {
        let ask = ValidateTokenRequest { token: token.to_owned(), ..Default::default() };
        self.service.tokens().validate_token(ask).await.unwrap().into_inner()
    }

    /// Validates an access token, and waits until the receipt that it proves is stored.
    pub(crate) async fn prove(&self, token: &str) {
        let receipts = || self.service.metric("store_operations_total{lane=\"prove\"}");
        let before = receipts();
        assert!(self.validate(token).await.active);
        until("a receipt is stored", async || (receipts() > before).then_some(())).await;
    }

    /// Returns a user's live sessions.
    pub(crate) async fn sessions(&self, user: &str) -> Vec<Session> {
        let ask = ListSessionsRequest { user_id: user.to_owned(), ..Default::default() };
        self.service.sessions().list_sessions(ask).await.unwrap().into_inner().sessions
    }
}

/// Checks that an answer is a refusal for that reason.
pub(crate) fn is_refused(answer: &Value, reason: &str) {
    assert_eq!((&answer["status"], &answer["body"]["reason"]), (&401.into(), &reason.into()));
}

/// Returns the access token of an answer.
///
/// # Panics
///
/// Panics if there is none.
pub(crate) fn renewed(answer: &Value) -> String {
    assert_eq!(answer["status"], 200, "{answer}");
    answer["body"]["accessToken"].as_str().unwrap().to_owned()
}
