//! The alert rules by themselves: promtool accepts them, each fires in the right cases only, and
//! each leads to its section of the runbook.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::prometheus::{promtool, root, rules_file};

fn read(path: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Returns every alert of the repository.
fn alerts() -> Vec<Value> {
    let rules = read("ops/prometheus/rules.yaml");
    list(&rules["groups"]).flat_map(|group| list(&group["rules"]).cloned()).collect()
}

#[test]
fn promtool_accepts_them() {
    let output = promtool(&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]);
    assert!(output.status.success(), "{output:?}");
    assert!(rules_file().exists());
}

#[test]
fn each_does_in_its_cases_what_it_should() {
    let output = promtool(&["test", "rules", "rules_test.yaml"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn each_has_cases_in_which_it_fires_and_in_which_it_is_silent() {
    let tests = read("ops/prometheus/rules_test.yaml");
    let mut fires = BTreeSet::new();
    // Silence counts only in cases that contain the alert's own series.
    let mut silent_before = BTreeSet::new();
    let mut silent_in_health = BTreeSet::new();
    for test in list(&tests["tests"]) {
        let own: Vec<_> = list(&test["alert_rule_test"]).collect();
        for case in &own {
            let name = case["alertname"].as_str().unwrap().to_owned();
            let is_silent = list(&case["exp_alerts"]).next().is_none();
            let alone = own.iter().all(|other| other["alertname"] == case["alertname"]);
            match (is_silent, alone) {
                (false, _) => fires.insert(name),
                (true, true) => silent_before.insert(name),
                (true, false) => silent_in_health.insert(name),
            };
        }
    }
    let all: BTreeSet<_> =
        alerts().iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect();
    assert!(all.len() > 20);
    assert_eq!(fires, all);
    assert_eq!(silent_before, all);
    assert_eq!(silent_in_health, all);
}

/// Returns the anchor that Markdown renderers make of a title.
fn anchor(title: &str) -> String {
    let kept = title.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

#[test]
fn each_leads_to_its_section_of_the_runbook() {
    let runbook = std::fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let titles: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut expected = Vec::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        expected.push(name.to_owned());
        let annotations = &alert["annotations"];
        for needed in ["summary", "description"] {
            let text = annotations[needed].as_str().unwrap_or_default();
            assert!(text.len() > 20, "{name} has no {needed}");
        }
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        let link = format!("docs/runbook.md#{}", anchor(name));
        assert_eq!(annotations["runbook_url"], link.as_str(), "{name}");
    }
    // In the order of the rules, so that related sections stand together.
    let of_alerts: Vec<_> =
        titles.iter().filter(|title| title.starts_with("TokenAuthority")).copied().collect();
    assert_eq!(of_alerts, expected);
    for section in runbook.split("\n## ").skip(1) {
        let Some(title) = section.lines().next().filter(|title| title.starts_with("Token")) else {
            continue;
        };
        for part in ["**Means**", "**Look**", "**Do**"] {
            assert!(section.contains(part), "{title} lacks {part}");
        }
    }
}
