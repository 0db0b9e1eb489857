//! `/metrics` by itself: names, types, help texts, buckets, and labels that clients cannot choose.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use test_support::replica::Setup;
use test_support::tools;

use crate::load::Loaded;

/// A parsed page of metrics.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) help: BTreeMap<String, String>,
    pub(crate) kinds: BTreeMap<String, String>,
    /// Every series: its metric's name, and its labels as written.
    pub(crate) series: BTreeSet<(String, String)>,
}

impl Page {
    pub(crate) fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            if let Some((name, help)) = after(line, "# HELP ") {
                page.help.insert(name, help);
            } else if let Some((name, kind)) = after(line, "# TYPE ") {
                page.kinds.insert(name, kind);
            } else if !line.is_empty() {
                let series = line.rsplit_once(' ').unwrap().0;
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                page.series.insert((name.into(), labels.trim_end_matches('}').into()));
            }
        }
        page
    }

    /// Returns the metric of a series.
    pub(crate) fn metric<'a>(&self, series: &'a str) -> &'a str {
        let parts = ["_bucket", "_sum", "_count"].iter();
        let mut plain = parts.filter_map(|part| series.strip_suffix(part));
        let histogram =
            plain.find(|name| self.kinds.get(*name).is_some_and(|kind| kind == "histogram"));
        histogram.unwrap_or(series)
    }

    /// Returns the names of a metric's labels, without the bucket's bound.
    pub(crate) fn labels(&self, metric: &str) -> BTreeSet<String> {
        let own = self.series.iter().filter(|(name, _)| self.metric(name) == metric);
        let labels =
            own.flat_map(|(_, labels)| labels.split(',').filter_map(|l| l.split_once('=')));
        labels.map(|(name, _)| name.to_owned()).filter(|name| name != "le").collect()
    }

    fn bounds(&self, metric: &str) -> Vec<f64> {
        let buckets = self.series.iter().filter(|(name, _)| *name == format!("{metric}_bucket"));
        let bounds = buckets.filter_map(|(_, labels)| labels.split("le=\"").nth(1));
        let mut bounds: Vec<f64> =
            bounds.map(|bound| bound.trim_end_matches('"').parse().unwrap()).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        bounds
    }
}

fn after(line: &str, mark: &str) -> Option<(String, String)> {
    let (name, rest) = line.strip_prefix(mark)?.split_once(' ')?;
    Some((name.into(), rest.into()))
}

#[tokio::test]
async fn the_contract_s_metrics_are_there_from_the_start() {
    let page = Page::read(&Setup::new().start().await.metrics());
    for (name, kind, labels) in [
        ("auth_validation_seconds", "histogram", "method"),
        ("token_refresh_duration_seconds", "histogram", ""),
        ("token_refresh_total", "counter", ""),
        ("token_refresh_errors_total", "counter", "reason"),
        ("jwt_auth_users_total", "gauge", ""),
        ("jwt_auth_users", "gauge", ""),
        ("auth_db_queries_total", "counter", "method"),
        ("user_sessions_table_size_mb", "gauge", ""),
        ("user_sessions_table_bytes", "gauge", ""),
        ("revocation_propagation_seconds", "histogram", ""),
        ("rpc_server_duration_seconds", "histogram", "rpc_grpc_status_code,rpc_method,rpc_service"),
    ] {
        assert_eq!(page.kinds.get(name).map(String::as_str), Some(kind), "{name}");
        assert_eq!(page.labels(name).into_iter().collect::<Vec<_>>().join(","), labels, "{name}");
    }
    for name in page.kinds.keys() {
        assert!(page.help.get(name).is_some_and(|help| help.len() > 10), "{name} has no HELP");
    }
    let values = |metric: &str, label: &str| {
        let own = page.series.iter().filter(|(name, _)| page.metric(name) == metric);
        let values = own.filter_map(|(_, labels)| {
            let value = labels.split(',').find_map(|one| one.strip_prefix(label))?;
            Some(value.trim_matches(['=', '"']).to_owned())
        });
        values.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
    };
    assert_eq!(values("auth_validation_seconds", "method"), "jwt,session");
    assert_eq!(values("auth_db_queries_total", "method"), "jwt,session");
    let reasons = "expired,invalid,reused,revoked";
    assert_eq!(values("token_refresh_errors_total", "reason"), reasons);
}

#[tokio::test]
async fn a_tenth_of_a_millisecond_can_be_read() {
    let page = Page::read(&Setup::new().start().await.metrics());
    for (name, least) in [
        ("auth_validation_seconds", 0.000_1),
        ("rpc_server_duration_seconds", 0.000_1),
        ("token_refresh_duration_seconds", 0.001),
    ] {
        let bounds = page.bounds(name);
        for bound in [least, 0.001] {
            assert!(bounds.iter().any(|one| (one - bound).abs() < 1e-9), "{name}: {bounds:?}");
            // A quantile above the bound is still accurate.
            let beyond = bounds.windows(2).find(|pair| (pair[0] - bound).abs() < 1e-9);
            assert!(beyond.is_some_and(|pair| pair[1] / pair[0] <= 2.5), "{name}: {bounds:?}");
        }
    }
    // A validation takes much less than a millisecond.
    assert!(page.bounds("auth_validation_seconds")[0] <= 0.000_01);
}

#[tokio::test]
async fn promtool_knows_nothing_against_them_but_the_quickstart_s_names() {
    let metrics = Setup::new().start().await.metrics();
    let mut command = Command::new("sh");
    // The exit code depends on whether it printed anything.
    command.args(["-c", "/usr/bin/promtool check metrics 2>&1 || true"]);
    let told = tools::feed(&mut command, &metrics);
    let told: BTreeSet<_> = told.lines().filter(|line| !line.is_empty()).collect();
    let expected = [
        "jwt_auth_users_total non-counter metrics should not have \"_total\" suffix",
        "user_sessions_table_size_mb metric names should not contain abbreviated units",
    ];
    assert_eq!(told, BTreeSet::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_make_no_series() {
    let loaded = Loaded::start().await;
    let pages = || loaded.replicas.each_ref().map(|replica| Page::read(&replica.metrics()).series);
    loaded.live_through(0).await;
    let before = pages();
    for round in 1..4 {
        loaded.live_through(round).await;
    }
    for (before, after) in before.iter().zip(pages()) {
        let new: Vec<_> = after.difference(before).collect();
        assert!(new.is_empty(), "{new:?}");
        assert!(!after.iter().any(|(_, labels)| labels.contains("somebody")), "a user's name");
        assert!(after.len() < 1500, "{} series", after.len());
    }
}
