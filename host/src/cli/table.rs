//! Tables for people: aligned columns without lines, wrapped to the width of a terminal.

use crate::cli::terminal;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table as Grid};
use windlass_core::text::plain;

/// Spaces between two columns.
const GAP: u16 = 2;

/// Fewest columns of a terminal to which a table is wrapped.
const NARROWEST: u16 = 20;

/// A table with a header.
#[derive(Debug)]
pub(super) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|title| (*title).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { plain(&cell) };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The table as text, fitted to the terminal if there is one. Without one, each row is one line.
    pub(super) fn text(&self) -> String {
        self.fitted(terminal::width())
    }

    /// The table as text, at most `width` columns wide if possible.
    pub(super) fn fitted(&self, width: Option<u16>) -> String {
        let mut grid = Grid::new();
        grid.load_style(NOTHING).set_header(&self.header).add_rows(&self.rows);
        match width {
            Some(width) => {
                grid.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(NARROWEST));
            }
            None => {
                grid.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        for column in grid.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        grid.trim_fmt() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "READY", "REASON"]);
        table.row(["web".to_owned(), "2/2".to_owned(), "the policy `min-max` proposed 2 replicas\x1b[2J".to_owned()]);
        table.row(["long-name".to_owned(), String::new(), "東京".to_owned()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_an_empty_cell_is_a_dash() {
        insta::assert_snapshot!(table().fitted(None), @r"
        NAME       READY  REASON
        web        2/2    the policy `min-max` proposed 2 replicas[2J
        long-name  -      東京
        ");
    }

    #[test]
    fn a_terminal_wraps_cells_instead_of_lines() {
        let text = table().fitted(Some(40));
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.lines().count() > 3 && text.contains("proposed"), "{text}");
    }
}
