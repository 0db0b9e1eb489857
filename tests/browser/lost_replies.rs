//! The service handled a request, but the browser never received the answer.

use std::time::Duration;

use crate::chromium::Tab;
use crate::line::Replies;
use crate::product::{LATER, Product, renewed};

/// When the page tries again: at once, after the concurrency window, and the next day.
const AFTER: [Duration; 3] = [Duration::ZERO, LATER, Duration::from_hours(20)];

/// Checks that the session goes on and rotates as usual.
fn goes_on(product: &mut Product, tab: Tab) {
    for _ in 0..2 {
        let before = product.cookie().value;
        product.refresh(tab);
        assert_ne!(product.cookie().value, before);
        product.clock.forward(LATER);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_may_be_asked_for_again_at_any_time() {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    for after in AFTER {
        let before = product.cookie();
        product.line.replies(Replies::Lose);
        for _ in 0..3 {
            let failed = product.browser.run(&[tab], "refresh()").remove(0).unwrap_err();
            assert!(failed.contains("Failed to fetch"), "{failed}");
        }
        let said = product.line.exchange().await;
        assert!(said.answered.contains("set-cookie: refreshtoken="), "{said:?}");
        assert_eq!(product.cookie(), before, "no reply arrived");
        product.line.replies(Replies::Arrive);
        product.clock.forward(after);
        goes_on(&mut product, tab);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_may_those_of_six_tabs_at_once() {
    let mut product = Product::start().await;
    let tabs: Vec<Tab> = (0..6).map(|_| product.tab()).collect();
    product.log_in(tabs[0], "alice");
    for after in AFTER {
        let before = product.cookie();
        product.line.replies(Replies::Lose);
        assert!(product.browser.run(&tabs, "refresh()").iter().all(Result::is_err));
        assert_eq!(product.cookie(), before, "no reply arrived");
        product.line.replies(Replies::Arrive);
        product.clock.forward(after);
        for answer in product.browser.run(&tabs, "refresh()") {
            renewed(&answer.unwrap());
        }
        product.clock.forward(LATER);
        goes_on(&mut product, tabs[5]);
    }
}

/// On a connection that was used before, the browser itself repeats the request.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_browser_sends_twice_is_one_refresh() {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    product.refresh(tab);
    product.clock.forward(LATER);
    product.line.exchange().await;
    product.line.replies(Replies::LoseOne);
    product.refresh(tab);
    let said = product.line.exchange().await;
    assert_eq!(said.asked.matches("post /api/auth/refresh ").count(), 2, "{said:?}");
    product.clock.forward(LATER);
    goes_on(&mut product, tab);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_be_closed_or_reloaded_in_the_middle() {
    let mut product = Product::start().await;
    let mut tab = product.tab();
    product.log_in(tab, "alice");
    product.refresh(tab);
    for (number, after) in AFTER.into_iter().chain(AFTER).enumerate() {
        product.clock.forward(LATER);
        product.line.exchange().await;
        let before = product.cookie();
        product.line.replies(Replies::Hold);
        product.browser.begin(tab, "refresh()");
        let said = product.line.exchange().await;
        assert!(said.answered.contains("set-cookie: refreshtoken="), "{said:?}");
        if number % 2 == 0 {
            product.browser.reload(tab);
        } else {
            product.browser.close(tab);
            tab = product.tab();
        }
        assert_eq!(product.cookie(), before, "no reply arrived");
        product.line.replies(Replies::Arrive);
        product.clock.forward(after);
        goes_on(&mut product, tab);
        product.refresh(tab);
    }
}
