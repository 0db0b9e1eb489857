//! A thief copies the cookie from the jar and uses it elsewhere.

use std::time::Duration;

use test_support::http::Answer;
use token_authority::transport::proto::v1::InactiveReason;

use crate::chromium::Tab;
use crate::product::{LATER, PROVEN, Product};

const HALF_AN_HOUR: Duration = Duration::from_mins(30);

/// Logs a user in and copies the cookie.
async fn robbed() -> (Product, Tab, String) {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    product.refresh(tab);
    product.clock.forward(LATER);
    let copy = product.cookie().value;
    (product, tab, copy)
}

fn is_caught(answer: &Answer, reason: &str) {
    assert_eq!((answer.status, &answer.json()["reason"]), (401, &reason.into()), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_who_comes_after_the_browser_is_found_out() {
    let (mut product, tab, copy) = robbed().await;
    let access = product.refresh(tab);
    product.clock.forward(PROVEN);
    product.prove(&access).await;
    product.clock.forward(LATER);
    is_caught(&product.service.http().refresh(&copy).await, "reused");
    // The session is revoked for both, at once, and the user learns why.
    assert_eq!(product.validate(&access).await.inactive_reason(), InactiveReason::Revoked);
    product.is_logged_out(tab, "revoked");
    product.log_in(tab, "alice");
    product.refresh(tab);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_who_comes_first_is_found_out_when_the_browser_comes() {
    let (mut product, tab, copy) = robbed().await;
    let thief = product.service.http();
    let stolen = thief.refresh(&copy).await;
    let (token, access) = (stolen.new_token().unwrap(), stolen.json());
    product.clock.forward(PROVEN);
    product.prove(access["accessToken"].as_str().unwrap()).await;
    product.clock.forward(LATER);
    product.is_logged_out(tab, "reused");
    is_caught(&thief.refresh(&token).await, "revoked");
}

/// The service never saw the thief's access token, so it assumes that its reply was lost, and gives
/// the browser another token instead. Later, the displaced token identifies the thief.
#[tokio::test(flavor = "multi_thread")]
async fn a_thief_who_lies_low_is_found_out_when_coming_back() {
    let (mut product, tab, copy) = robbed().await;
    let thief = product.service.http();
    let token = thief.refresh(&copy).await.new_token().unwrap();
    product.clock.forward(HALF_AN_HOUR);
    product.refresh(tab);
    product.clock.forward(HALF_AN_HOUR);
    is_caught(&thief.refresh(&token).await, "reused");
    product.is_logged_out(tab, "revoked");
}

/// An open page keeps trying with the deleted cookie, and is asked to log in.
#[tokio::test(flavor = "multi_thread")]
async fn all_tabs_are_told() {
    let (mut product, tab, copy) = robbed().await;
    let tabs = [tab, product.tab(), product.tab()];
    for _ in 0..2 {
        product.refresh(tab);
        product.clock.forward(LATER);
    }
    is_caught(&product.service.http().refresh(&copy).await, "reused");
    for answer in product.browser.run(&tabs, "refresh()") {
        let answer = answer.unwrap();
        let reason = answer["body"]["reason"].as_str().unwrap();
        // A page that asks after the first answer has no cookie any more.
        assert!(["revoked", "invalid"].contains(&reason), "{answer}");
        assert_eq!(answer["status"], 401);
    }
    assert_eq!(product.browser.jar(), []);
}
