//! The results as tables in Markdown.

use std::fmt::Write as _;

use crate::device::theft::Habit;
use crate::run::{Outcome, Thefts};
use crate::settings::Settings;
use crate::tally::{Cause, Tally};

/// Returns all tables of a run.
pub(crate) fn table(settings: &Settings, outcomes: &[Outcome]) -> String {
    let Settings { clients, days, seed, .. } = settings;
    let parts = [
        format!("{clients} clients inside the documented bounds, {days} days, seed {seed}.\n"),
        inside(settings, outcomes),
        causes(outcomes),
        faults(outcomes),
        outside(settings, outcomes),
        thieves(outcomes),
        lives(outcomes),
        verdicts(outcomes),
    ];
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("\n")
}

/// Formats a table.
fn markdown(title: &str, first: &str, names: &[String], rows: &[(String, Vec<String>)]) -> String {
    let mut text = format!("**{title}**\n\n| {first} | {} |\n", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "--:|".repeat(names.len()));
    for (name, cells) in rows {
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    text
}

fn rules(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().map(|outcome| outcome.rule.clone()).collect()
}

/// Writes a number with a comma before each group of three digits.
fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns wrong logouts a month and 1,000 clients.
fn rate(tally: &Tally, days: u32) -> String {
    let months = tally.clients as f64 * f64::from(days) / 30.0;
    let rate = tally.wrong() as f64 * 1000.0 / months.max(f64::MIN_POSITIVE);
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => number(rate.round() as u64),
    }
}

fn inside(settings: &Settings, outcomes: &[Outcome]) -> String {
    type Figure = fn(&Tally) -> u64;
    let figures: [(&str, Figure); 12] = [
        ("logins", |tally| tally.logins),
        ("refreshes sent", |tally| tally.requests),
        ("answered with tokens", |tally| tally.renewed),
        ("of these, tried again after a failure", |tally| tally.retried),
        ("copies that nobody awaited", |tally| tally.copies),
        ("failed by a planned fault", |tally| tally.failed - tally.failed_unplanned),
        ("failed without one", |tally| tally.failed_unplanned),
        ("access tokens refused too early", |tally| tally.access_refused),
        ("logins lost with a jar that was not written", |tally| tally.logins_lost),
        (
            "browsers that died with an unwritten refresh, and another or a copy (outside)",
            |tally| tally.lost_more,
        ),
        ("of these, logged out", |tally| tally.lost_more_out),
        ("**wrong logouts**", Tally::wrong),
    ];
    let mut rows: Vec<(String, Vec<String>)> = figures
        .iter()
        .map(|(name, figure)| {
            let cells = outcomes.iter().map(|outcome| number(figure(outcome.inside())));
            ((*name).to_owned(), cells.collect())
        })
        .collect();
    let cells = outcomes.iter().map(|outcome| rate(outcome.inside(), settings.days));
    rows.push(("wrong logouts of 1,000 clients in 30 days".into(), cells.collect()));
    let share =
        |tally: &Tally| format!("{:.1} %", 100.0 * tally.clients_hit as f64 / tally.clients as f64);
    let cells = outcomes.iter().map(|outcome| share(outcome.inside()));
    rows.push(("clients that were logged out wrongly".into(), cells.collect()));
    markdown("Inside the documented bounds", "", &rules(outcomes), &rows)
}

/// Wrong logouts inside the bounds by their causes.
fn causes(outcomes: &[Outcome]) -> String {
    let mut all: Vec<Cause> = outcomes
        .iter()
        .flat_map(|outcome| outcome.inside().wrong_logouts.keys().copied())
        .collect();
    all.sort_unstable();
    all.dedup();
    if all.is_empty() {
        return String::new();
    }
    let row = |cause: &Cause| {
        let count = |outcome: &Outcome| outcome.inside().wrong_logouts.get(cause).copied();
        let cells = outcomes.iter().map(|outcome| number(count(outcome).unwrap_or(0)));
        (cause.name().to_owned(), cells.collect())
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    markdown(
        "Wrong logouts inside the bounds, by the last unusual thing before",
        "cause",
        &rules(outcomes),
        &rows,
    )
}

/// Sessions that were lost after a fault of the service.
fn faults(outcomes: &[Outcome]) -> String {
    let row = |cause: &Cause| {
        let cell = |outcome: &Outcome| {
            let tally = outcome.inside();
            let lost = tally.wrong_logouts.get(cause).copied().unwrap_or(0);
            let met = tally.met.get(cause).copied().unwrap_or(0);
            format!("{} of {}", number(lost), number(met))
        };
        (cause.name().to_owned(), outcomes.iter().map(cell).collect())
    };
    let rows: Vec<_> = Cause::FAULTS.iter().map(row).collect();
    markdown("Sessions lost, of requests that met a fault", "fault", &rules(outcomes), &rows)
}

fn outside(settings: &Settings, outcomes: &[Outcome]) -> String {
    let Some(first) = outcomes.first() else { return String::new() };
    let names = first.groups.iter().map(|(name, _)| *name);
    let row = |name: &'static str| {
        let cells = outcomes.iter().map(|outcome| rate(outcome.group(name), settings.days));
        (name.to_owned(), cells.collect())
    };
    let rows: Vec<_> = names.filter(|name| *name != "with a thief").map(row).collect();
    let title = "Outside the bounds: wrong logouts of 1,000 clients in 30 days";
    markdown(title, "clients", &rules(outcomes), &rows)
}

fn thieves(outcomes: &[Outcome]) -> String {
    let row = |habit: &Habit| {
        let cell = |outcome: &Outcome| {
            let by_habit = outcome.thefts_by_habit();
            let Some(thefts) = by_habit.get(habit) else { return "–".to_owned() };
            let Thefts { found, stay, unmet, ended_otherwise, .. } = thefts;
            let got = |tenths| Thefts::quantile(&thefts.got, tenths);
            let got = match (got(5), got(10)) {
                (Some(half), Some(all)) => format!(" ({half}, at most {all})"),
                _ => String::new(),
            };
            format!("{found} found{got}, {stay} stay, {} else", unmet + ended_otherwise)
        };
        (habit.name().to_owned(), outcomes.iter().map(cell).collect())
    };
    let rows: Vec<_> = Habit::ALL.iter().map(row).collect();
    let title = "Thieves: found (after how many of their refreshes: half of them, all of them); those who \
                 stay although the victim comes back; those whose victim stays away or logs out";
    markdown(title, "the thief comes", &rules(outcomes), &rows)
}

fn lives(outcomes: &[Outcome]) -> String {
    let row = |habit: &Habit| {
        let cell = |outcome: &Outcome| {
            let by_habit = outcome.thefts_by_habit();
            let lives = by_habit.get(habit).map(|thefts| thefts.lives.clone()).unwrap_or_default();
            let tenths = [5, 9, 10]
                .map(|tenths| Thefts::quantile(&lives, tenths).map_or("–".into(), duration));
            tenths.join(" / ")
        };
        (habit.name().to_owned(), outcomes.iter().map(cell).collect())
    };
    let rows: Vec<_> = Habit::ALL.iter().map(row).collect();
    let title = "How long thieves who were found had been there: half, nine tenths, all";
    markdown(title, "the thief comes", &rules(outcomes), &rows)
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The verdicts of the real code, which show that a run reaches all of them.
fn verdicts(outcomes: &[Outcome]) -> String {
    let real: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| !outcome.verdicts.is_empty()).collect();
    let Some(first) = real.first() else { return String::new() };
    let rows: Vec<(String, Vec<String>)> = first
        .verdicts
        .iter()
        .enumerate()
        .map(|(at, (name, _))| {
            let cells = real.iter().map(|outcome| number(outcome.verdicts[at].1));
            ((*name).to_owned(), cells.collect())
        })
        .collect();
    let names: Vec<String> = real.iter().map(|outcome| outcome.rule.clone()).collect();
    markdown("Verdicts of the real code, all groups", "verdict", &names, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!([7, 1000, 1_234_567].map(number), ["7", "1,000", "1,234,567"]);
        assert_eq!([59, 300, 9000, 200_000].map(duration), ["59 s", "5 min", "2 h", "2 d"]);
    }
}
