//! The results as JSON.

use serde_json::{Value, json};

use crate::run::{Outcome, Thefts};
use crate::settings::Settings;

/// Returns all counts of a run.
pub(crate) fn json(settings: &Settings, outcomes: &[Outcome]) -> String {
    let Settings { clients, days, seed, .. } = settings;
    let rules: Vec<Value> = outcomes.iter().map(of_rule).collect();
    let all = json!({ "clients": clients, "days": days, "seed": seed, "rules": rules });
    format!("{all:#}\n")
}

fn of_rule(outcome: &Outcome) -> Value {
    let groups =
        outcome.groups.iter().map(|(name, tally)| json!({ "name": name, "counts": tally }));
    let thefts = outcome.thefts_by_habit().into_iter().map(|(habit, thefts)| {
        json!({
            "habit": habit.name(),
            "thieves": thefts.thieves,
            "found": thefts.found,
            "stay": thefts.stay,
            "victim_away": thefts.unmet,
            "ended_otherwise": thefts.ended_otherwise,
            "refreshes": quantiles(&thefts.got),
            "life_seconds": quantiles(&thefts.lives),
        })
    });
    let verdicts: serde_json::Map<String, Value> = outcome
        .verdicts
        .iter()
        .map(|(name, count)| ((*name).to_owned(), (*count).into()))
        .collect();
    json!({
        "rule": outcome.rule,
        "groups": groups.collect::<Vec<_>>(),
        "thefts": thefts.collect::<Vec<_>>(),
        "verdicts": verdicts,
    })
}

fn quantiles<T: Copy + Into<Value>>(sorted: &[T]) -> Value {
    let quantile = |tenths| Thefts::quantile(sorted, tenths).map_or(Value::Null, Into::into);
    json!({ "half": quantile(5), "nine_tenths": quantile(9), "all": quantile(10) })
}
