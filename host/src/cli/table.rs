//! Text tables with aligned columns.

use hoth_core::domain::printable;

/// A table of `N` columns: a heading and rows.
pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub fn new(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned)] }
    }

    pub fn row(&mut self, cells: [impl Into<String>; N]) {
        // Ids and reasons come from clients, CSPs and adapters.
        self.rows.push(cells.map(|cell| printable(&cell.into()).into_owned()));
    }

    /// Returns the heading and every row, as wide as their longest cells. Numbers
    /// are aligned to the right.
    pub fn lines(&self) -> Vec<String> {
        let width = |at: usize| self.rows.iter().map(|row| row[at].chars().count()).max();
        let widths: Vec<usize> = (0..N).map(|at| width(at).unwrap_or_default()).collect();
        let line = |row: &[String; N]| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| match is_number(cell) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

fn is_number(cell: &str) -> bool {
    let digits = cell.trim_end_matches(" KB");
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_move_the_cursor_or_start_a_line() {
        let mut table = Table::new(["REASON"]);
        table.row(["a\nb\u{1b}[2J"]);
        assert_eq!(table.lines(), ["REASON", "a\\nb\\u{1b}[2J"]);
    }

    #[test]
    fn columns_have_the_width_of_their_longest_cells() {
        let mut table = Table::new(["NAME", "CALLS", "WHY"]);
        table.row(["atat", "17", ""]);
        table.row(["a-long-name", "123456", "käse"]);
        let expected =
            ["NAME         CALLS   WHY", "atat             17", "a-long-name  123456  käse"];
        assert_eq!(table.lines(), expected);
    }
}
