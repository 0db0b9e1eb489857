//! A logout ends the session in all tabs, and empties the jar.

use token_authority::transport::proto::v1::InactiveReason;

use crate::chromium::Tab;
use crate::line::Replies;
use crate::product::Product;

fn log_out(product: &mut Product, tab: Tab) {
    assert_eq!(product.browser.run_in(tab, "logOut()")["status"], 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_the_session_and_clears_the_cookie() {
    let mut product = Product::start().await;
    let (tab, other) = (product.tab(), product.tab());
    product.log_in(tab, "alice");
    let access = product.refresh(tab);
    let copy = product.cookie().value;
    log_out(&mut product, tab);
    assert_eq!(product.browser.jar(), []);
    assert_eq!(product.sessions("alice").await, []);
    assert_eq!(product.validate(&access).await.inactive_reason(), InactiveReason::Revoked);
    product.is_logged_out(other, "invalid");
    assert_eq!(product.service.http().refresh(&copy).await.json()["reason"], "revoked");
    // A second logout has no further effect.
    log_out(&mut product, other);
    product.log_in(other, "alice");
    product.refresh(tab);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_reply_may_be_lost() {
    let mut product = Product::start().await;
    let tab = product.tab();
    for again in ["logOut()", "refresh()"] {
        product.log_in(tab, "alice");
        product.refresh(tab);
        product.line.replies(Replies::Lose);
        assert!(product.browser.run(&[tab], "logOut()").remove(0).is_err());
        product.line.replies(Replies::Arrive);
        assert_eq!(product.sessions("alice").await, []);
        // The cookie is still there, but it only leads to a refusal.
        product.cookie();
        let answer = product.browser.run_in(tab, again);
        let status = if again == "logOut()" { 204 } else { 401 };
        assert_eq!(answer["status"], status, "{answer}");
        assert_eq!(product.browser.jar(), []);
    }
}

/// A refresh that was answered earlier may set its cookie last. That cookie is useless.
#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_refresh_meanwhile_do_not_bring_the_session_back() {
    let mut product = Product::start().await;
    let tabs = [product.tab(), product.tab(), product.tab()];
    for tab in tabs {
        product.browser.run_in(tab, &format!("var leaves = {}", tab == tabs[1]));
    }
    for _ in 0..15 {
        // The login's token rotates at once, so a refresh sets a cookie.
        product.log_in(tabs[0], "alice");
        for answer in product.browser.run(&tabs, "leaves ? logOut() : refresh()") {
            let status = answer.unwrap()["status"].as_u64().unwrap();
            assert!([200, 204, 401].contains(&status), "{status}");
        }
        assert_eq!(product.sessions("alice").await, []);
        for tab in tabs {
            assert_eq!(product.browser.run_in(tab, "refresh()")["status"], 401);
        }
        assert_eq!(product.browser.jar(), []);
    }
}
