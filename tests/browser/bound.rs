//! Device-bound sessions in a real Chromium over TLS: the browser registers a key and renews its bound
//! cookie, a copy of its jar is useless elsewhere, and no user is logged out.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use test_support::script::Script;
use test_support::tools;
use test_support::until::until;
use token_authority::transport::proto::v1::{ListSessionsRequest, Session};

use crate::clock::Clock;
use crate::front_end::FrontEnd;
use crate::product::{LATER, is_refused, renewed};

/// Longer than the bound cookie lives.
const OVER: Duration = Duration::from_secs(31);

/// What a page does by `docs/browsers.md`: after a broken connection it tries again, and after `unbound`
/// it tries once more.
const REFRESH: &str = "(async () => {
    let mayBeUnbound = true
    for (let attempt = 0; attempt < 10; attempt++) {
        const answer = await refresh().catch(() => null)
        const unbound = answer?.status === 401 && answer.body.reason === 'unbound'
        if (answer && answer.status < 500 && !(unbound && mayBeUnbound)) return answer
        mayBeUnbound &&= !unbound
        await new Promise((resolve) => setTimeout(resolve, 1000))
    }
    return { status: 'gave up' }
})()";

/// A product behind TLS, and a browser whose device has a key store.
struct Product {
    service: Replica,
    clock: Clock,
    browser: Script,
    folder: std::path::PathBuf,
}

impl Product {
    async fn start() -> Self {
        Self::on(&Self::clocked(Setup::new().on_fixed_ports(), "offer")).await
    }

    /// A setup whose service offers to bind sessions or not, with its clock.
    fn clocked(setup: Setup, mode: &str) -> (Setup, Clock) {
        let bound = [("DEVICE_BOUND_SESSIONS", mode), ("DEVICE_BOUND_COOKIE_SECONDS", "30")];
        Clock::of(setup.set_all(bound))
    }

    async fn on((setup, clock): &(Setup, Clock)) -> Self {
        let front_end = FrontEnd::bind().await;
        let (folder, clock) = (setup.folder().to_owned(), clock.clone());
        let service = setup.start().await;
        service.ready().await;
        let mut browser =
            Script::node(concat!(include_str!("marionette.mjs"), include_str!("bound.mjs")));
        let first = json!({
            "executable": tools::path("chromium"),
            "profile": folder.join("profile"),
            "frontEnd": format!("127.0.0.1:{}", front_end.port()),
            "service": service.http_addr().to_string(),
        });
        front_end.serve(service.tokens());
        let origin = browser.ask(&first.to_string());
        assert!(origin.contains("https://"), "{origin}");
        Self { service, clock, browser, folder }
    }

    fn exchange(&mut self, ask: &Value) -> Value {
        let told: Value = serde_json::from_str(&self.browser.ask(&ask.to_string())).unwrap();
        assert!(told["failed"].is_null(), "{ask}: {told}");
        told["done"].clone()
    }

    fn open(&mut self) -> u64 {
        self.exchange(&json!({ "what": "open" })).as_u64().unwrap()
    }

    /// Runs a script in tabs at once.
    fn run(&mut self, tabs: &[u64], script: &str) -> Vec<Value> {
        let told = self.exchange(&json!({ "what": "run", "tabs": tabs, "script": script }));
        let done = |outcome: &Value| {
            assert!(outcome["failed"].is_null(), "{outcome}");
            outcome["done"].clone()
        };
        told.as_array().unwrap().iter().map(done).collect()
    }

    /// Refreshes in all tabs at once. None is refused.
    fn all_refresh(&mut self, tabs: &[u64]) {
        for answer in self.run(tabs, REFRESH) {
            renewed(&answer);
        }
    }

    /// Lets time pass for the service, and for the browser's bound cookie.
    fn pass(&mut self, time: Duration) {
        self.clock.forward(time);
        self.exchange(&json!({ "what": "expire" }));
    }

    fn jar(&mut self) -> Vec<Value> {
        self.exchange(&json!({ "what": "cookies" })).as_array().unwrap().clone()
    }

    /// Logs a user in, refreshes, and waits until the browser has registered its key.
    async fn log_in(&mut self) -> u64 {
        let tab = self.open();
        assert_eq!(self.run(&[tab], "logIn('alice')"), [204]);
        renewed(&self.run(&[tab], REFRESH)[0]);
        let this = std::cell::RefCell::new(self);
        until("the browser has a bound cookie", async || {
            let jar = this.borrow_mut().jar();
            jar.iter().any(|cookie| cookie["name"] == "refreshTokenBound").then_some(())
        })
        .await;
        tab
    }

    /// Returns the requests of the browser about its device since the last call, with their answers.
    fn device_requests(&mut self) -> Vec<String> {
        let seen = self.exchange(&json!({ "what": "seen" }));
        let seen = seen.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
        seen.filter(|line| line.contains("/device/")).collect()
    }

    /// Presents a jar from elsewhere, as curl does.
    fn present(&mut self, path: &str, jar: &[Value]) -> Value {
        let pair = |cookie: &Value| {
            format!("{}={}", cookie["name"].as_str().unwrap(), cookie["value"].as_str().unwrap())
        };
        let cookie = jar.iter().map(pair).collect::<Vec<_>>().join("; ");
        self.exchange(&json!({ "what": "present", "path": path, "cookie": cookie }))
    }

    /// Runs a script in a page of another Chromium with that jar.
    fn elsewhere(&mut self, jar: &[Value], bound: bool, script: &str) -> Value {
        let profile = self.folder.join(format!("elsewhere-{bound}"));
        let what = json!({
            "what": "elsewhere", "profile": profile, "cookies": jar, "bound": bound, "script": script,
        });
        self.exchange(&what)["done"].clone()
    }

    async fn sessions(&self) -> Vec<Session> {
        let ask = ListSessionsRequest { user_id: "alice".into(), ..Default::default() };
        self.service.sessions().list_sessions(ask).await.unwrap().into_inner().sessions
    }
}

fn is_unbound(answer: &Value) {
    assert_eq!(answer["status"], 401, "{answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["reason"], "unbound", "{answer}");
    assert!(answer["headers"]["set-cookie"].is_null(), "the cookies stay: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_jar_is_useless_and_the_browser_goes_on() {
    let mut product = Product::start().await;
    let tab = product.log_in().await;
    assert!(product.device_requests().contains(&"/api/auth/device/registration 200".into()));
    product.all_refresh(&[tab]);
    let copy = product.jar();
    product.pass(OVER);
    // A thief with the copied jar, in another program and in another browser, at once and later, when the
    // copied refresh token has two successors.
    for _ in 0..2 {
        is_unbound(&product.present("/api/auth/refresh", &copy));
        is_refused(&product.elsewhere(&copy, true, "refresh()"), "unbound");
        let registered = product.present("/api/auth/device/registration", &copy);
        assert!((400..500).contains(&registered["status"].as_u64().unwrap()), "{registered}");
        for _ in 0..2 {
            product.pass(LATER);
            product.all_refresh(&[tab]);
        }
    }
    // The browser keeps its key over a restart.
    product.exchange(&json!({ "what": "restart" }));
    product.pass(Duration::from_hours(20));
    let tab = product.open();
    product.device_requests();
    product.all_refresh(&[tab]);
    let asked = product.device_requests();
    assert!(asked.iter().any(|line| line.ends_with("renewal 200")), "{asked:?}");
    let sessions = product.sessions().await;
    assert!(sessions.len() == 1 && sessions[0].device_bound, "{sessions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_tabs_with_lost_replies_and_a_restart_of_the_service_log_nobody_out() {
    let mut product = Product::start().await;
    let mut tabs = vec![product.log_in().await];
    tabs.extend((1..10).map(|_| product.open()));
    product.exchange(&json!({ "what": "lose", "every": 20 }));
    // Chromium signs only a few fresh challenges in five minutes of real time.
    for round in 0..2 {
        product.all_refresh(&tabs);
        product.pass(if round % 2 == 0 { OVER } else { Duration::from_mins(29) });
        if round == 0 {
            product.service.kill();
            product.service.start_again().await;
            product.service.ready().await;
        }
    }
    let sessions = product.sessions().await;
    assert!(sessions.len() == 1 && sessions[0].device_bound, "{sessions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_logs_nobody_out() {
    let cluster = Cluster::shared();
    let database = cluster.url(&cluster.make_database().await);
    let setup = Product::clocked(Setup::on(&database), "offer");
    let mut product = Product::on(&setup).await;
    let other = setup.0.start().await;
    other.ready().await;
    let tab = product.log_in().await;
    product.all_refresh(&[tab]);
    // The other replica knows the key that the first one registered.
    product.pass(OVER);
    product.exchange(&json!({ "what": "service", "address": other.http_addr().to_string() }));
    product.service.kill();
    product.device_requests();
    product.all_refresh(&[tab]);
    assert_eq!(product.device_requests().last().unwrap(), "/api/auth/device/renewal 200");
    let copy = product.jar();
    product.pass(Duration::from_hours(9));
    is_unbound(&product.present("/api/auth/refresh", &copy));
    product.all_refresh(&[tab]);
    let ask = ListSessionsRequest { user_id: "alice".into(), ..Default::default() };
    let sessions = other.sessions().list_sessions(ask).await.unwrap().into_inner().sessions;
    assert!(sessions.len() == 1 && sessions[0].device_bound, "{sessions:?}");
}

/// The header that browsers without the feature ignore.
const OFFER: &str = "secure-session-registration:";

/// Returns what Chromium without the feature and Firefox sent and were told, and how often they got an offer.
async fn exchanges_of_others(mode: &str) -> (Vec<Value>, usize) {
    let mut product = Product::on(&Product::clocked(Setup::new(), mode)).await;
    let script =
        format!("(async () => {{ await logIn('alice'); await {REFRESH}; return {REFRESH} }})()");
    renewed(&product.elsewhere(&[], false, &script));
    let firefox =
        json!({ "what": "firefox", "profile": product.folder.join("fox"), "script": script });
    renewed(&product.exchange(&firefox)["done"]);
    assert!(product.sessions().await.iter().all(|session| !session.device_bound));
    let mut exchanges =
        product.exchange(&json!({ "what": "exchanges" })).as_array().unwrap().clone();
    let mut offers = 0;
    for exchange in &mut exchanges {
        let told = exchange["told"].as_array_mut().unwrap();
        let before = told.len();
        told.retain(|line| {
            !line.as_str().is_some_and(|line| line.to_lowercase().starts_with(OFFER))
        });
        offers += before - told.len();
    }
    (exchanges, offers)
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_that_cannot_do_it_send_and_get_the_same_as_with_off() {
    let (with_off, offers) = exchanges_of_others("off").await;
    assert_eq!((with_off.len(), offers), (4, 0), "{with_off:#?}");
    let (with_offer, offers) = exchanges_of_others("offer").await;
    assert!(offers > 0, "{with_offer:#?}");
    assert_eq!(with_offer, with_off);
}
