//! Aligned columns for terminals: `ps`, `plan`, `history`.
//!
//! Independent of colours and of the terminal: the caller passes the width.

use super::text;

/// Number of blanks between two columns.
const GAP: usize = 2;
/// Minimum width of a column that has to shrink.
const NARROWEST: usize = 6;

/// Formats rows below their headers, in columns aligned by display width.
///
/// With a `width`, the widest columns shrink until a line fits, as far as possible. Without it,
/// nothing is cut. A row may have fewer cells than there are headers. Each line ends with a line
/// feed and has no trailing blanks.
#[must_use]
pub fn table(headers: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let mut columns: Vec<usize> = headers.iter().map(|header| text::width(header)).collect();
    for row in rows {
        for (column, cell) in columns.iter_mut().zip(row) {
            *column = (*column).max(text::width(&text::clean(cell)));
        }
    }
    if let Some(width) = width {
        shrink(&mut columns, width);
    }
    let mut out = String::new();
    line(&mut out, &columns, headers.iter().copied());
    for row in rows {
        line(&mut out, &columns, row.iter().map(String::as_str));
    }
    out
}

/// Shrinks the widest columns, one terminal column at a time, until all fit into `width`.
fn shrink(columns: &mut [usize], width: usize) {
    let gaps = GAP * columns.len().saturating_sub(1);
    while columns.iter().sum::<usize>() + gaps > width {
        match columns.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => break,
        }
    }
}

fn line<'a>(out: &mut String, columns: &[usize], cells: impl Iterator<Item = &'a str>) {
    let start = out.len();
    for (column, cell) in columns.iter().zip(cells) {
        out.push_str(&text::pad(
            &text::cut(&text::clean(cell), *column),
            column + GAP,
        ));
    }
    let end = out[start..].trim_end().len();
    out.truncate(start + end);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        [
            ["web", "running for 3 days", "0.0.0.0:8080->80/tcp"],
            ["日本", "exited with code 1", ""],
        ]
        .map(|row| row.map(str::to_owned).to_vec())
        .to_vec()
    }

    #[test]
    fn columns_are_aligned() {
        insta::assert_snapshot!(table(&["NAME", "STATE", "PORTS"], &rows(), None), @"
        NAME  STATE               PORTS
        web   running for 3 days  0.0.0.0:8080->80/tcp
        日本  exited with code 1
        ");
    }

    #[test]
    fn widest_column_shrinks_first() {
        let narrow = table(&["NAME", "STATE", "PORTS"], &rows(), Some(32));
        insta::assert_snapshot!(narrow, @"
        NAME  STATE         PORTS
        web   running for…  0.0.0.0:808…
        日本  exited with…
        ");
        assert!(narrow.lines().all(|line| text::width(line) <= 32));
    }

    #[test]
    fn narrow_columns_do_not_shrink() {
        assert_eq!(table(&["A", "B"], &[], Some(1)), "A  B\n");
    }
}
