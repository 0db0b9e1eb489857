//! A laptop sleeps longer than the access token lives, and longer than the session.

use std::time::{Duration, Instant};

use test_support::until::TIMEOUT;
use token_authority::transport::proto::v1::InactiveReason;

use crate::chromium::Tab;
use crate::line::Replies;
use crate::product::Product;

const NIGHT: Duration = Duration::from_hours(8);

/// Returns the access tokens that the pages hold.
fn held(product: &mut Product, tabs: &[Tab]) -> Vec<String> {
    let tokens = product.browser.run(tabs, "accessToken").into_iter();
    tokens.map(|token| token.unwrap().as_str().unwrap_or_default().to_owned()).collect()
}

fn sleep(product: &mut Product, how_long: Duration) {
    product.clock.forward(how_long);
    product.browser.wake(how_long);
}

/// Each page's own timer is overdue, so all of them refresh when the laptop wakes.
#[tokio::test(flavor = "multi_thread")]
async fn all_pages_renew_on_waking() {
    let mut product = Product::start().await;
    let tabs = [product.tab(), product.tab(), product.tab()];
    product.log_in(tabs[0], "alice");
    for tab in tabs {
        product.refresh(tab);
    }
    for _ in 0..5 {
        let before = held(&mut product, &tabs);
        for token in &before {
            assert!(product.validate(token).await.active);
        }
        sleep(&mut product, NIGHT);
        for token in &before {
            let told = product.validate(token).await;
            assert_eq!(told.inactive_reason(), InactiveReason::Expired, "{told:?}");
        }
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let now = held(&mut product, &tabs);
            if now.iter().zip(&before).all(|(now, before)| !now.is_empty() && now != before) {
                break;
            }
            assert!(Instant::now() < deadline, "{now:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The lid was closed while the reply was under way.
#[tokio::test(flavor = "multi_thread")]
async fn it_may_fall_asleep_in_the_middle_of_a_refresh() {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    for _ in 0..3 {
        product.refresh(tab);
        product.clock.forward(NIGHT);
        product.line.replies(Replies::Lose);
        assert!(product.browser.run(&[tab], "refresh()").remove(0).is_err());
        product.line.replies(Replies::Arrive);
        product.clock.forward(NIGHT);
    }
    product.refresh(tab);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sleeps_past_the_session_is_told_so() {
    let mut product = Product::start().await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    product.refresh(tab);
    product.clock.forward(Duration::from_hours(8 * 24));
    product.is_logged_out(tab, "expired");
    product.log_in(tab, "alice");
    product.refresh(tab);
}
