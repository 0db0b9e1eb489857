//! Temporary refusals: a page of an allowed origin can read when to try again, and keeps its
//! cookie.

use test_support::postgres::Cluster;
use test_support::replica::Setup;

use crate::product::Product;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_when_to_try_again_after_an_outage() {
    let mut cluster = Cluster::start();
    let database = cluster.make_database().await;
    let setup = Setup::on(&cluster.url(&database));
    let mut product = Product::on(setup).await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    product.refresh(tab);
    let cookie = product.cookie();
    cluster.crash();
    let answer = product.browser.run_in(tab, "refresh()");
    assert_eq!(answer["status"], 503, "{answer}");
    assert!(answer["retryAfter"].is_string(), "{answer}");
    assert_eq!(product.cookie(), cookie);
    cluster.start_again();
    product.service.ready().await;
    product.refresh(tab);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_when_to_try_again_after_too_much() {
    let setup = Setup::new().set("RATE_LIMIT_PER_CLIENT", "1/1");
    let mut product = Product::on(setup).await;
    let tab = product.tab();
    product.log_in(tab, "alice");
    let answers = product.browser.run(&[tab; 12], "refresh()");
    let refused: Vec<_> =
        answers.into_iter().map(Result::unwrap).filter(|answer| answer["status"] != 200).collect();
    assert!(!refused.is_empty());
    for answer in refused {
        assert_eq!(answer["status"], 429, "{answer}");
        assert!(answer["retryAfter"].is_string(), "{answer}");
    }
    product.cookie();
}
