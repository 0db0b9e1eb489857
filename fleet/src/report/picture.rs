//! The results as a picture: wrong logouts inside the bounds, and thieves who stay, by rule.

use std::fmt::Write as _;

use crate::device::theft::Habit;
use crate::run::Outcome;
use crate::settings::Settings;

const ROW: usize = 34;
const BAR_FROM: usize = 240;
const BAR_WIDTH: f64 = 380.0;

/// Returns the picture as SVG.
pub(crate) fn picture(settings: &Settings, outcomes: &[Outcome]) -> String {
    let clients = |outcome: &Outcome| {
        let tally = outcome.inside();
        share(tally.clients_hit as usize, tally.clients as usize)
    };
    let first = format!(
        "Clients inside the documented bounds that were logged out wrongly in {} days",
        settings.days
    );
    let height = 2 * (ROW * outcomes.len() + 70);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" \
         font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"760\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    chart(&mut svg, 0, &first, outcomes, clients, "#b3261e");
    let second = "Thieves outside the concurrency window who stay although the victim comes back";
    chart(&mut svg, height / 2, second, outcomes, thieves_who_stay, "#5b3fa0");
    svg + "</svg>\n"
}

/// Returns the share of thieves that were not found, without those whose victim did not come back and
/// those that no rule is said to find.
fn thieves_who_stay(outcome: &Outcome) -> f64 {
    let by_habit = outcome.thefts_by_habit();
    let outside = by_habit.iter().filter(|(habit, _)| **habit != Habit::Together);
    let (stay, found) = outside
        .fold((0, 0), |(stay, found), (_, thefts)| (stay + thefts.stay, found + thefts.found));
    share(stay, stay + found)
}

fn share(part: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn chart(
    svg: &mut String,
    top: usize,
    title: &str,
    outcomes: &[Outcome],
    figure: impl Fn(&Outcome) -> f64,
    colour: &str,
) {
    let _ = writeln!(svg, "<text x=\"16\" y=\"{}\" font-weight=\"bold\">{title}</text>", top + 32);
    for (at, outcome) in outcomes.iter().enumerate() {
        let (y, value) = (top + 56 + at * ROW, figure(outcome));
        let width = value * BAR_WIDTH;
        let _ = writeln!(svg, "<text x=\"16\" y=\"{}\">{}</text>", y + 15, outcome.rule);
        let _ = writeln!(
            svg,
            "<rect x=\"{BAR_FROM}\" y=\"{y}\" width=\"{width:.1}\" height=\"20\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{}\">{:.1} %</text>",
            BAR_FROM as f64 + width + 8.0,
            y + 15,
            value * 100.0
        );
    }
}
