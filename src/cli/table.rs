//! Formats tables and times for people.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Timestamp;

/// Formats rows below their headings. Each column is as wide as its widest cell.
pub(super) fn aligned<const N: usize>(
    heads: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heads.map(str::to_owned)).chain(rows).collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Formats a time in UTC, to the second (RFC 3339).
pub(super) fn moment(at: Timestamp) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(at.as_seconds()).ok();
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |one: &str, two: &str| [one.to_owned(), two.to_owned()];
        let text = aligned(["ID", "NAME"], [row("1", "Zoë"), row("234", "")]);
        assert_eq!(text, "ID   NAME\n1    Zoë\n234\n");
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(moment(Timestamp::from_seconds(1_700_000_000)), "2023-11-14T22:13:20Z");
    }
}
