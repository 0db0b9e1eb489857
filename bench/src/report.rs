//! The report: a table for people, and JSON for comparisons.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::load::Sample;

/// Every figure of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One contest.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The name of the measurement.
    pub(crate) what: String,
    /// The figures of this service.
    pub(crate) ours: Sample,
    /// The limit's name and figures.
    pub(crate) limit: Option<(String, Sample)>,
    /// The ratio of our figure to the limit's.
    pub(crate) ratio: Option<f64>,
    /// The target for the ratio.
    pub(crate) target: String,
    /// Whether the target is met.
    pub(crate) met: Option<bool>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        println!("  {}", line(&row));
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, note: String) {
        println!("  {note}");
        self.notes.push(note);
    }

    pub(crate) fn write(&self, out: &Path) {
        std::fs::create_dir_all(out).unwrap();
        std::fs::write(out.join("benchmark.json"), serde_json::to_string_pretty(self).unwrap())
            .unwrap();
        std::fs::write(out.join("benchmark.md"), self.markdown()).unwrap();
        println!("\nwritten to {}", out.display());
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "| what | ours a second | p50 µs | p99 µs | failed | limit | a second | p99 µs | ratio | target | met |\n\
             |---|--:|--:|--:|--:|---|--:|--:|--:|---|---|\n",
        );
        for row in &self.rows {
            writeln!(text, "{}", line(row)).unwrap();
        }
        for note in &self.notes {
            writeln!(text, "\n* {note}").unwrap();
        }
        text
    }
}

fn line(row: &Row) -> String {
    let Sample { per_second, p50, p99, failed } = &row.ours;
    let limit = row.limit.as_ref().map_or_else(
        || "– | – | –".to_owned(),
        |(name, limit)| format!("{name} | {:.0} | {}", limit.per_second, limit.p99),
    );
    let ratio = row.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    let met = row.met.map_or("–", |met| if met { "yes" } else { "**no**" });
    format!(
        "| {} | {per_second:.0} | {p50} | {p99} | {failed} | {limit} | {ratio} | {} | {met} |",
        row.what, row.target
    )
}
