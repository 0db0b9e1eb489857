//! Tabs that share one jar without coordination refresh at the same moment.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chromium::Tab;
use crate::product::{LATER, Product, renewed};

/// How many times all tabs refresh.
const ROUNDS: u32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_never_log_each_other_out() {
    never_log_each_other_out(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_tabs_never_log_each_other_out() {
    never_log_each_other_out(6).await;
}

async fn never_log_each_other_out(many: usize) {
    let mut product = Product::start().await;
    let tabs: Vec<Tab> = (0..many).map(|_| product.tab()).collect();
    product.log_in(tabs[0], "alice");
    let mut held = BTreeSet::from([product.cookie().value]);
    for round in 0..ROUNDS {
        let tokens = all_refresh(&mut product, &tabs);
        let fresh = held.insert(product.cookie().value);
        assert!(fresh, "round {round}: the session must be rotated");
        // In every second round no access token is used, so the service does not learn whether its
        // reply arrived.
        if round % 2 == 0 {
            for token in &tokens {
                assert!(product.validate(token).await.active, "round {round}");
            }
        }
        // First while the token is young, then like a page that refreshes by itself.
        all_refresh(&mut product, &tabs);
        let by = if round % 3 == 0 { LATER } else { Duration::from_mins(29) };
        product.clock.forward(by);
    }
    let sessions = product.sessions("alice").await;
    assert_eq!(sessions.len(), 1, "all went on with one session");
    let metrics = product.service.metrics();
    let refused: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("token_refresh_errors_total") && !line.ends_with(" 0"))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Refreshes in all tabs at once. Returns their access tokens.
fn all_refresh(product: &mut Product, tabs: &[Tab]) -> Vec<String> {
    let answers = product.browser.run(tabs, "refresh()");
    answers.into_iter().map(|answer| renewed(&answer.unwrap())).collect()
}
