//! Three innocent users: a browser that dies before its cookies are on disk, a request whose copy
//! arrives late, and a reply that takes longer than the concurrency window. A plain client keeps the
//! cookie here, because what happens to the jar is the test. The same service then finds the thieves
//! who come with the same tokens.

use std::time::Duration;

use test_support::http::Answer;
use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use test_support::until::until;
use token_authority::transport::proto::v1::{IssueTokensRequest, ValidateTokenRequest};

use crate::clock::Clock;

const SECOND: Duration = Duration::from_secs(1);
const HALF_AN_HOUR: Duration = Duration::from_mins(30);
const NIGHT: Duration = Duration::from_hours(9);

/// A service with its clock, on one of the databases.
struct Scene {
    service: Replica,
    clock: Clock,
    _cluster: Option<Cluster>,
}

/// A successful answer: the cookie that it sets, and its access token.
struct Renewed {
    cookie: Option<String>,
    access: String,
}

impl Scene {
    /// Starts the service on both databases, one after the other.
    async fn on_both(test: impl AsyncFn(Scene)) {
        test(Self::start(Setup::new(), None).await).await;
        let cluster = Cluster::start();
        let setup = Setup::on(&cluster.url("postgres"));
        test(Self::start(setup, Some(cluster)).await).await;
    }

    async fn start(setup: Setup, cluster: Option<Cluster>) -> Self {
        let (setup, clock) = Clock::of(setup);
        let service = setup.start().await;
        service.ready().await;
        Self { service, clock, _cluster: cluster }
    }

    /// Logs a user in, and refreshes once. Returns the cookie.
    async fn log_in(&mut self) -> String {
        let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
        let issued = self.service.tokens().issue_tokens(ask).await.unwrap().into_inner();
        let renewed = self.refresh(&issued.refresh_token).await;
        self.clock.forward(HALF_AN_HOUR);
        renewed.cookie.unwrap()
    }

    async fn ask(&self, cookie: &str) -> Answer {
        self.service.http().refresh(cookie).await
    }

    async fn refresh(&self, cookie: &str) -> Renewed {
        let answer = self.ask(cookie).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let access = answer.json()["accessToken"].as_str().unwrap().to_owned();
        Renewed { cookie: answer.new_token(), access }
    }

    /// Refreshes and expects another cookie.
    async fn rotate(&self, cookie: &str) -> (String, String) {
        let renewed = self.refresh(cookie).await;
        (renewed.cookie.expect("a changed token is set"), renewed.access)
    }

    /// Uses an access token at a backend that asks the service.
    async fn use_token(&self, access: &str) {
        let ask = ValidateTokenRequest { token: access.to_owned(), ..Default::default() };
        let told = self.service.tokens().validate_token(ask).await.unwrap().into_inner();
        assert!(told.active, "{told:?}");
    }

    fn receipts(&self) -> f64 {
        self.service.metric("store_operations_total{lane=\"prove\"}")
    }

    /// Uses an access token, and waits until its receipt is stored.
    async fn use_late(&self, access: &str) {
        let before = self.receipts();
        self.use_token(access).await;
        until("a receipt is stored", async || (self.receipts() > before).then_some(())).await;
    }

    /// Refreshes as long as the session goes on, twice.
    async fn goes_on(&mut self, cookie: &str) {
        let mut cookie = cookie.to_owned();
        for _ in 0..2 {
            self.clock.forward(HALF_AN_HOUR);
            cookie = self.rotate(&cookie).await.0;
        }
    }

    async fn is_found(&self, cookie: &str) {
        let answer = self.ask(cookie).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (401, &"reused".into()));
    }
}

/// Chromium writes a cookie to disk up to half a minute after it was set.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_dies_before_its_jar_is_on_disk_stays_logged_in() {
    Scene::on_both(async |mut scene| {
        let on_disk = scene.log_in().await;
        let (in_memory, access) = scene.rotate(&on_disk).await;
        scene.use_token(&access).await;
        scene.clock.forward(SECOND * 10);
        // Another tab presents the new cookie, and its access token is used, too.
        let young = scene.refresh(&in_memory).await;
        assert_eq!(young.cookie, None);
        scene.use_token(&young.access).await;
        scene.clock.forward(NIGHT);
        let (cookie, _) = scene.rotate(&on_disk).await;
        scene.goes_on(&cookie).await;
    })
    .await;
}

/// A proxy sends a request again, or a phone's kernel goes on with one that its page gave up.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_request_that_arrives_a_minute_late_logs_nobody_out() {
    Scene::on_both(async |mut scene| {
        // The clock of the test goes on by itself, so the copy is a little earlier than the bound.
        let minute = SECOND * 55;
        for reloads in [false, true] {
            let sent = scene.log_in().await;
            let (mut cookie, access) = scene.rotate(&sent).await;
            scene.use_token(&access).await;
            let before = SECOND * 35;
            scene.clock.forward(before);
            if reloads {
                cookie = scene.rotate(&cookie).await.0;
            }
            scene.clock.forward(minute.saturating_sub(before));
            // The answer to the copy goes nowhere.
            assert_eq!(scene.ask(&sent).await.status, 200, "reloads: {reloads}");
            scene.goes_on(&cookie).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_overtaken_by_another_tab_s_logs_nobody_out() {
    Scene::on_both(async |mut scene| {
        for the_slow_one_lands_last in [true, false] {
            let sent = scene.log_in().await;
            let (slow, access) = scene.rotate(&sent).await;
            scene.clock.forward(SECOND * 35);
            let (fast, _) = scene.rotate(&sent).await;
            assert_ne!(slow, fast);
            scene.clock.forward(SECOND * 5);
            scene.use_token(&access).await;
            let jar = if the_slow_one_lands_last { slow } else { fast };
            // The page is reloaded at once, which rotates nothing.
            assert_eq!(scene.refresh(&jar).await.cookie, None);
            scene.goes_on(&jar).await;
        }
    })
    .await;
}

/// Without a receipt, the thief gets one refresh. Each is found when either comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_thief_with_the_same_tokens_is_found_at_once_or_with_the_next_refresh() {
    Scene::on_both(async |mut scene| {
        // A token that was used for more than a minute proves that its browser holds the cookie. Then
        // the thief gets nothing, as before.
        let copy = scene.log_in().await;
        let (_, access) = scene.rotate(&copy).await;
        scene.clock.forward(SECOND * 62);
        scene.use_late(&access).await;
        scene.clock.forward(SECOND * 31);
        scene.is_found(&copy).await;

        // The thief comes half a minute after the browser, which looks like a late copy.
        let copy = scene.log_in().await;
        let (cookie, access) = scene.rotate(&copy).await;
        scene.use_token(&access).await;
        scene.clock.forward(SECOND * 40);
        let (stolen, _) = scene.rotate(&copy).await;
        scene.clock.forward(HALF_AN_HOUR);
        scene.rotate(&cookie).await;
        scene.clock.forward(SECOND * 31);
        scene.is_found(&stolen).await;

        // The thief comes at night, and the browser had no time to prove its cookie.
        let copy = scene.log_in().await;
        let (cookie, access) = scene.rotate(&copy).await;
        scene.use_token(&access).await;
        scene.clock.forward(NIGHT);
        scene.rotate(&copy).await;
        scene.clock.forward(HALF_AN_HOUR);
        scene.is_found(&cookie).await;

        // An old copy, from a backup.
        let copy = scene.log_in().await;
        let (cookie, _) = scene.rotate(&copy).await;
        scene.clock.forward(HALF_AN_HOUR);
        scene.rotate(&cookie).await;
        scene.clock.forward(NIGHT);
        scene.is_found(&copy).await;
    })
    .await;
}
