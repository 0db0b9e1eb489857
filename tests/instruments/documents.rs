//! `docs/metrics.md` lists exactly the metrics of a live page, with their types and labels.

use std::collections::BTreeMap;

use crate::exposition::Page;
use crate::load::Loaded;
use crate::prometheus::root;

/// Returns the rows of the document's tables: each metric's type and labels, by its name.
fn documented() -> BTreeMap<String, (String, String)> {
    let text = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("| `")?.split(" | ").map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { panic!("{line}") };
        assert!(meaning.len() > 20, "{name} means nothing");
        let labels = labels.replace(['`', '–'], "").replace(", ", ",");
        Some((name.trim_matches('`').to_owned(), (kind.to_owned(), labels)))
    };
    text.lines().filter_map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_explained() {
    let loaded = Loaded::start().await;
    loaded.live_through(0).await;
    let page = Page::read(&loaded.replicas[0].metrics());
    let found = page.kinds.iter().map(|(name, kind)| {
        let labels: Vec<_> = page.labels(name).into_iter().collect();
        (name.clone(), (kind.clone(), labels.join(",")))
    });
    assert_eq!(documented(), found.collect());
}

/// Metrics that need no alert and no panel: one figure under a second name, and conventional
/// metrics of a process.
const ASIDE: [&str; 5] = [
    "jwt_auth_users_total",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
    "token_authority_installation_info",
];

#[test]
fn an_alert_or_the_dashboard_looks_at_every_metric() {
    let files = ["ops/prometheus/rules.yaml", "ops/grafana/dashboard.json"];
    let looking = files.map(|file| std::fs::read_to_string(root().join(file)).unwrap()).concat();
    let names = documented().into_keys();
    let unseen: Vec<_> = names.filter(|name| !looking.contains(name.as_str())).collect();
    assert_eq!(unseen, ASIDE);
}

#[test]
fn alerts_and_dashboard_name_no_metric_that_is_not_explained() {
    let documented = documented();
    for file in ["ops/prometheus/rules.yaml", "ops/grafana/dashboard.json"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        for (at, _) in text.match_indices("_total").chain(text.match_indices("_seconds")) {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let begin = text[..at].rfind(|c| !is_part(c)).map_or(0, |before| before + 1);
            let end = text[at..].find(|c| !is_part(c)).map_or(text.len(), |after| at + after);
            let name = &text[begin..end];
            let parts = ["_bucket", "_sum", "_count"];
            let plain = parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
            assert!(documented.contains_key(plain), "{file}: {plain}");
        }
    }
}
