//! Every query of the dashboard and of the rules, on a real Prometheus that scrapes two loaded
//! replicas. Each must return something.

use std::collections::BTreeSet;

use serde_json::Value;
use test_support::replica::Replica;

use crate::load::Loaded;
use crate::prometheus::{Prometheus, root, rules_file};

/// How often the life of ten users is played. Rates need at least two scrapes.
const ROUNDS: usize = 4;

/// Returns the dashboard's queries with their panels, in the form that Grafana sends.
fn dashboard() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("ops/grafana/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(|target| (panel["title"].clone(), target["expr"].clone()))
    });
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    targets.map(|(title, query)| (text(&title), filled_in(&text(&query)))).collect()
}

fn filled_in(query: &str) -> String {
    let mut query = query.replace("$__rate_interval", "10s");
    for variable in ["$namespace", "$job", "$instance"] {
        query = query.replace(variable, ".*");
    }
    assert!(!query.contains('$'), "{query} contains an unknown variable");
    query
}

/// Returns the alerts' queries. Comparisons return 0 or 1, instead of dropping what is in order.
fn alerts() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(rules_file()).unwrap();
    let rules: Value = serde_saphyr::from_str(&text).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let told = |rule: &Value| {
        let mut query = rule["expr"].as_str().unwrap().replace('\n', " ");
        for comparison in [" == ", " != ", " > ", " < "] {
            query = query.replace(comparison, &format!("{comparison}bool "));
        }
        // `absent` returns something only if its series is missing. The series must exist here.
        let query = query
            .trim()
            .strip_prefix("absent(")
            .map_or(query.clone(), |inner| inner.strip_suffix(')').unwrap().to_owned());
        (rule["alert"].as_str().unwrap().to_owned(), query)
    };
    rules.map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn none_finds_nothing() {
    let loaded = Loaded::start().await;
    let targets = loaded.replicas.each_ref().map(Replica::metrics_addr);
    let prometheus = Prometheus::scraping(&targets);
    prometheus.await_targets(2).await;
    for round in 0..ROUNDS {
        loaded.live_through(round).await;
    }

    let (panels, alerts) = (dashboard(), alerts());
    assert!(panels.len() > 40 && alerts.len() > 20);
    let mut empty = Vec::new();
    for (title, query) in panels.iter().chain(&alerts) {
        let found = prometheus.query(query).await;
        if found.iter().all(|(_, value)| value.is_nan()) {
            empty.push(format!("{title}: {query} finds {found:?}"));
        }
    }
    assert!(empty.is_empty(), "{empty:#?}");

    let evaluated = prometheus.rules().await;
    assert_eq!(evaluated.len(), alerts.len());
    for rule in &evaluated {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    // A theft was among the events. No other alert may fire.
    let loud = evaluated.iter().filter(|rule| rule["state"] == "firing");
    let loud: BTreeSet<_> = loud.map(|rule| rule["name"].as_str().unwrap()).collect();
    assert_eq!(loud, BTreeSet::from(["TokenAuthorityReuseDetected"]));
}
