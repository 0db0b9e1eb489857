//! The operator's console in Chromium and Firefox: scripts off and by keyboard alone, and under the rules
//! of axe-core.
//!
//! `UPDATE_DOCS=1 cargo test --test browser console` writes the pictures in `docs/images`.

use serde_json::{Value, json};
use test_support::replica::{Replica, Setup};
use test_support::until::until;
use token_authority::transport::proto::v1::{
    ClientInfo, GetRolloutRequest, IssueTokensRequest, ListSessionsRequest, RevokeSessionRequest,
};

use crate::pages::{Browser, NARROW};

/// A name that is neither HTML nor breaks the page.
const HOSTILE: &str = "<b onclick=alert(1)>Averyverylongwordwithoutanyspacewhichhastobreak</b>";

/// A service with three sessions of one user, of which one has ended.
async fn service() -> Replica {
    let service = Setup::new().start().await;
    service.ready().await;
    let agents =
        ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", HOSTILE, ""];
    let mut ids = Vec::new();
    for user_agent in agents {
        let client = ClientInfo {
            user_agent: user_agent.into(),
            ip_address: "203.0.113.7".into(),
            device_name: String::new(),
        };
        let ask = IssueTokensRequest {
            user_id: "zoe".into(),
            client: Some(client),
            ..Default::default()
        };
        ids.push(service.tokens().issue_tokens(ask).await.unwrap().into_inner().session_id);
        // Sessions of the same millisecond have no order.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let ask = RevokeSessionRequest { session_id: ids.remove(2) };
    service.sessions().revoke_session(ask).await.unwrap();
    service
}

/// Starts a console and returns its link.
async fn console(service: &Replica) -> (Replica, String) {
    let authority = format!("http://{}", service.grpc());
    let console = Setup::new().spawn(&["console", "--authority", &authority]);
    let link = until(format_args!("the link: {console}"), async || {
        let out = console.out();
        let link = out.split_whitespace().find(|word| word.contains("token="));
        link.filter(|_| out.contains("Ctrl+C")).map(str::to_owned)
    })
    .await;
    (console, link)
}

/// Presses a button or follows a link, and returns the text of the page that answers.
fn press(browser: &mut Browser, beginning: &str) -> String {
    browser.tab_to(beginning);
    browser.tell("submit", Value::Null);
    browser.text()
}

#[track_caller]
fn shows(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

fn page(browser: &mut Browser, name: &str) -> String {
    let url = browser.tell("url", Value::Null);
    let folder = url.as_str().unwrap().rsplit_once('/').unwrap().0.to_owned();
    format!("{folder}/{name}")
}

async fn an_operator_needs_neither_scripts_nor_a_mouse(engine: &str) {
    let service = service().await;
    let (_console, link) = console(&service).await;
    let mut browser = Browser::start(engine, false, false);
    browser.tell("open", link.clone());
    shows(&browser.text(), &["Status", "sqlite", "Complete as of", "100 %"]);
    let url = browser.tell("url", Value::Null);
    assert!(!url.as_str().unwrap().contains("token"), "{url}");
    shows(&press(&mut browser, "Keys"), &["HS256, active"]);

    shows(&press(&mut browser, "Sessions"), &["Find the user's sessions"]);
    let sessions = page(&mut browser, "sessions?user=zoe");
    browser.tell("open", sessions);
    let text = browser.text();
    shows(
        &text,
        &["Firefox on Linux", "<b onclick=alert(1)>", "203.0.113.7", "ended", "logged in"],
    );
    assert!(!text.contains("Yes, end"), "the question comes first: {text}");
    browser.tab_to("End this session");
    browser.tell("press", json!(["Enter"]));
    shows(&press(&mut browser, "Yes, end this session"), &["The session is over."]);
    let ask = || ListSessionsRequest { user_id: "zoe".into(), ..Default::default() };
    let left = service.sessions().list_sessions(ask()).await.unwrap().into_inner();
    assert_eq!(left.sessions.len(), 1);

    shows(&press(&mut browser, "Roll-out"), &["Live sessions", "JWT"]);
    let text = press(&mut browser, "See what would change");
    shows(&text, &["as it is now"]);
    let question = page(&mut browser, "rollout?percentage=25&jwt=on");
    browser.tell("open", question);
    shows(&browser.text(), &["Change the roll-out?", "25 %"]);
    shows(&press(&mut browser, "Yes, change the roll-out"), &["The roll-out was changed."]);
    let now = service.rollout().get_rollout(GetRolloutRequest {}).await.unwrap().into_inner();
    assert_eq!(now.percentage, 25);

    let mut other = Browser::start(engine, false, false);
    other.tell("open", link);
    shows(&other.text(), &["This link does not open the console"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_chromium_needs_neither_scripts_nor_a_mouse() {
    an_operator_needs_neither_scripts_nor_a_mouse("chromium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_firefox_needs_neither_scripts_nor_a_mouse() {
    an_operator_needs_neither_scripts_nor_a_mouse("firefox").await;
}

/// axe-core needs scripts. Its rules for colours differ between light and dark.
#[tokio::test(flavor = "multi_thread")]
async fn every_operator_can_use_the_console() {
    let service = service().await;
    for dark in [false, true] {
        let (_console, link) = console(&service).await;
        let mut browser = Browser::start("chromium", true, dark);
        browser.tell("open", link);
        browser.check();
        for name in [
            "sessions",
            "sessions?user=zoe",
            "rollout",
            "rollout?percentage=25&jwt=on",
            "keys",
            "no",
        ] {
            let address = page(&mut browser, name);
            browser.tell("open", address);
            browser.check();
        }
        let outside = page_without_the_folder(&mut browser);
        browser.tell("open", outside);
        browser.check();
    }
}

/// Returns an address of the console that nobody is admitted to.
fn page_without_the_folder(browser: &mut Browser) -> String {
    let url = browser.tell("url", Value::Null);
    let host = url.as_str().unwrap().split('/').nth(2).unwrap().to_owned();
    format!("http://{host}/")
}

/// Takes the pictures of the documentation.
#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_show_the_console() {
    let service = service().await;
    for (name, dark, width, shown) in [
        ("console-light", false, 800, ""),
        ("console-dark", true, 800, "rollout?percentage=25&jwt=on"),
        ("console-narrow", false, NARROW, "sessions?user=zoe"),
    ] {
        let (_console, link) = console(&service).await;
        let mut browser = Browser::start("chromium", true, dark);
        browser.tell("open", link);
        browser.tell("resize", width);
        let address = page(&mut browser, shown);
        browser.tell("open", address);
        browser.picture(name);
    }
}
