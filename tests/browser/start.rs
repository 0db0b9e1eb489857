//! The start page in Chromium and Firefox: a developer's first minute with the default cookie, scripts
//! off and by keyboard alone. Pages of other names and origins have no part in it.
//!
//! `UPDATE_DOCS=1 cargo test --test browser start` writes the pictures in `docs/images`.

use serde_json::{Value, json};
use test_support::replica::{Replica, Setup};

use crate::pages::{Browser, NARROW};

fn address(service: &Replica, name: &str) -> String {
    format!("http://{name}:{}/", service.http_addr().port())
}

fn start_page(service: &Replica) -> String {
    address(service, "localhost")
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

async fn the_first_minute(engine: &str) {
    // Without a window, every refresh rotates, and nobody waits for the theft to be found.
    let service = Setup::new().set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0").start().await;
    service.ready().await;
    let mut browser = Browser::start(engine, false, false);
    browser.tell("open", start_page(&service));
    shows(&browser.text(), &["exists only in development"]);
    let text = press(&mut browser, "Log in");
    shows(&text, &["Logged in.", "\"sub\": \"alice\"", "\"typ\": \"at+jwt\"", "active", "live"]);

    shows(&press(&mut browser, "Copy the cookie"), &["Copied.", "The thief has generation 0."]);
    shows(&press(&mut browser, "Refresh"), &["Refreshed.", "next refresh token"]);
    shows(&press(&mut browser, "Refresh"), &["Refreshed."]);
    shows(
        &press(&mut browser, "Use the copy"),
        &["The theft was found", "not active: INACTIVE_REASON_REVOKED", "the session is over"],
    );
    shows(&press(&mut browser, "Refresh"), &["Refused", "no refresh cookie"]);
    shows(&press(&mut browser, "Log in"), &["Logged in.", "live"]);
    shows(&press(&mut browser, "See your sessions"), &["Your sessions", "This device", "Linux"]);
    browser.tab_to("Sign out");
    browser.tell("press", json!(["Enter"]));
    shows(&press(&mut browser, "Yes, sign out"), &["You are signed out"]);
    shows(&press(&mut browser, "Back to token-authority"), &["token-authority works"]);
    let text = press(&mut browser, "Go on with the session");
    shows(&text, &["not active: INACTIVE_REASON_REVOKED", "no refresh cookie"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_has_a_first_minute() {
    the_first_minute("chromium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_has_a_first_minute() {
    the_first_minute("firefox").await;
}

/// A page of another origin sends the form, and a name of another host leads to this machine.
#[tokio::test(flavor = "multi_thread")]
async fn other_pages_and_names_have_no_part_in_it() {
    let service = Setup::new().start().await;
    service.ready().await;
    let life = format!("{}api/auth/start", start_page(&service));
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let form = format!(
        "<form method=post action='{life}'><input name=user value=eve>\
         <button name=step value=login>Win a prize</button></form>"
    );
    std::fs::write(&page, form).unwrap();
    for engine in ["chromium", "firefox"] {
        let mut browser = Browser::start(engine, false, false);
        browser.tell("open", format!("file://{}", page.display()));
        let text = press(&mut browser, "Win a prize");
        shows(&text, &["another page sent this request"]);
        browser.tell("open", life.clone());
        shows(&browser.text(), &["no refresh cookie"]);
        // Browsers resolve this name to loopback addresses, as a hostile name server could any name.
        browser.tell("open", address(&service, "rebound.localhost"));
        assert!(browser.text().starts_with("token-authority: "), "{}", browser.text());
    }
}

async fn everybody_can_use_it(engine: &str, modes: &[bool]) {
    let service = Setup::new().start().await;
    service.ready().await;
    for &dark in modes {
        let mut browser = Browser::start(engine, true, dark);
        browser.tell("open", start_page(&service));
        browser.check();
        press(&mut browser, "Log in");
        browser.check();
        press(&mut browser, "Copy the cookie");
        browser.check();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_can_use_it_in_chromium() {
    everybody_can_use_it("chromium", &[false, true]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_can_use_it_in_firefox() {
    everybody_can_use_it("firefox", &[false]).await;
}

/// Takes the pictures of the documentation.
#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_show_the_start_page() {
    let service = Setup::new().start().await;
    service.ready().await;
    for (name, dark, width) in
        [("start-light", false, 800), ("start-dark", true, 800), ("start-narrow", false, NARROW)]
    {
        let mut browser = Browser::start("chromium", true, dark);
        browser.tell("open", start_page(&service));
        browser.tell("resize", width);
        press(&mut browser, "Log in");
        press(&mut browser, "Copy the cookie");
        browser.picture(name);
    }
}
