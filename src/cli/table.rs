//! Formats tables for people.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |one: &str, two: &str| [one.to_owned(), two.to_owned()];
        let text = aligned(["ID", "NAME"], [row("1", "Zoë"), row("234", "")]);
        assert_eq!(text, "ID   NAME\n1    Zoë\n234\n");
    }
}
