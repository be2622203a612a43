//! Tables without borders: aligned, plain, and no wider than the terminal.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table};

use super::output::Style;

/// What a cell means, for the colour it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
}

/// One cell of a [`Grid`].
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// The cell in another tone.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

/// A cell of any text. Control characters become spaces: some of it comes from remotes.
#[must_use]
pub fn cell(text: impl ToString) -> Cell {
    Cell {
        text: plain(&text.to_string()),
        tone: Tone::Plain,
    }
}

/// The text without control characters, so that it cannot steer a terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// How a column's cells may be laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    Text,
    Whole,
    Number,
}

/// A column of a [`Grid`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    name: &'static str,
    shape: Shape,
    extra: bool,
}

impl Column {
    /// Text that may be broken into lines where the terminal is narrow.
    #[must_use]
    pub const fn text(name: &'static str) -> Self {
        Self {
            name,
            shape: Shape::Text,
            extra: false,
        }
    }

    /// Text that is useless when broken, such as an id or a state.
    #[must_use]
    pub const fn whole(name: &'static str) -> Self {
        Self {
            name,
            shape: Shape::Whole,
            extra: false,
        }
    }

    /// A number, aligned right.
    #[must_use]
    pub const fn number(name: &'static str) -> Self {
        Self {
            name,
            shape: Shape::Number,
            extra: false,
        }
    }

    /// The same, but left out where the terminal is too narrow for all columns.
    #[must_use]
    pub const fn extra(mut self) -> Self {
        self.extra = true;
        self
    }
}

/// The width that text which may be broken keeps at least, in characters.
const TEXT_WIDTH: usize = 14;
/// Blanks between two columns.
const GAP: u16 = 2;

/// A table without borders, aligned, and no wider than the terminal where that is possible.
#[derive(Debug)]
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// An empty table with these columns.
    #[must_use]
    pub fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; it has as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(
            cells.len(),
            self.columns.len(),
            "a row has a cell for every column"
        );
        self.rows.push(cells);
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, without a line break at the end.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let shown = self.columns_that_fit(style);
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if style.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        match style.width {
            Some(width) => {
                table
                    .set_content_arrangement(ContentArrangement::Dynamic)
                    .set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        if self.columns.iter().any(|column| !column.name.is_empty()) {
            table.set_header(shown.iter().map(|position| self.columns[*position].name));
        }
        for row in &self.rows {
            table.add_row(
                shown
                    .iter()
                    .map(|position| toned(&row[*position], style.colour)),
            );
        }
        let last = shown.len().saturating_sub(1);
        for (place, (column, position)) in table.column_iter_mut().zip(&shown).enumerate() {
            column.set_padding((0, if place == last { 0 } else { GAP }));
            match self.columns[*position].shape {
                Shape::Text => {}
                Shape::Whole => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
                Shape::Number => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        table.trim_fmt()
    }

    /// The positions of the columns that are shown: all, less as many extra ones, from the right,
    /// as the terminal has no room for.
    fn columns_that_fit(&self, style: Style) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let Some(width) = style.width else {
            return shown;
        };
        let needed = |shown: &[usize]| -> usize {
            shown
                .iter()
                .map(|position| self.least_width(*position) + usize::from(GAP))
                .sum()
        };
        while needed(&shown) > usize::from(width) + usize::from(GAP) {
            let Some(place) = shown
                .iter()
                .rposition(|position| self.columns[*position].extra)
            else {
                break;
            };
            shown.remove(place);
        }
        shown
    }

    /// The width that a column needs at least, in characters.
    fn least_width(&self, position: usize) -> usize {
        let column = self.columns[position];
        let cells = self
            .rows
            .iter()
            .map(|row| row[position].text.chars().count());
        let widest = cells.max().unwrap_or_default();
        let natural = match column.shape {
            Shape::Text => widest.min(TEXT_WIDTH),
            Shape::Whole | Shape::Number => widest,
        };
        natural.max(column.name.len())
    }
}

fn toned(cell: &Cell, colour: bool) -> comfy_table::Cell {
    let text = if cell.text.is_empty() {
        "-"
    } else {
        &cell.text
    };
    let made = comfy_table::Cell::new(text);
    if !colour {
        return made;
    }
    match cell.tone {
        Tone::Plain => made,
        Tone::Good => made.fg(comfy_table::Color::Green),
        Tone::Warning => made.fg(comfy_table::Color::Yellow),
        Tone::Bad => made.fg(comfy_table::Color::Red),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Grid {
        let mut grid = Grid::new(&[
            Column::whole("ID"),
            Column::number("COUNT"),
            Column::text("MESSAGE"),
        ]);
        grid.row(vec![
            cell("7d1b0c5e-0000-7000-8000-000000000000"),
            cell(7),
            cell("receiving objects from the remote, which is slow today"),
        ]);
        grid.row(vec![cell("x"), cell(12_345), cell("").tone(Tone::Bad)]);
        grid
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let text = sample().render(Style::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        let column = lines[0].find("MESSAGE").unwrap();
        assert_eq!(lines[1].find("receiving"), Some(column), "{text}");
        assert_eq!(
            lines[2].rfind('-'),
            Some(column),
            "an empty cell is a dash: {text}"
        );
        assert!(
            lines[2].contains("  12345  "),
            "numbers are aligned right: {text}"
        );
        assert!(
            lines.iter().all(|line| *line == line.trim_end()),
            "{text:?}"
        );
    }

    #[test]
    fn a_narrow_terminal_breaks_text_but_never_an_id() {
        let text = sample().render(Style {
            width: Some(72),
            colour: false,
        });
        assert!(
            text.lines().all(|line| line.chars().count() <= 72),
            "{text}"
        );
        assert!(
            text.contains("7d1b0c5e-0000-7000-8000-000000000000"),
            "{text}"
        );
        assert!(text.lines().count() > 3, "{text}");
    }

    #[test]
    fn extra_columns_are_left_out_where_the_terminal_is_narrow() {
        let columns = [
            Column::whole("ID"),
            Column::text("REPO"),
            Column::whole("CREATED").extra(),
        ];
        let mut grid = Grid::new(&columns);
        grid.row(vec![
            cell("x".repeat(36)),
            cell("owner/name"),
            cell("2026-01-01 00:00:00Z"),
        ]);
        let narrow = grid.render(Style {
            width: Some(60),
            colour: false,
        });
        assert!(!narrow.contains("CREATED"), "{narrow}");
        assert_eq!(narrow.lines().count(), 2, "{narrow}");
        for wide in [
            Style {
                width: Some(80),
                colour: false,
            },
            Style::PLAIN,
        ] {
            assert!(grid.render(wide).contains("CREATED"));
        }
    }

    #[test]
    fn columns_without_names_have_no_header() {
        let mut grid = Grid::new(&[Column::whole(""), Column::text("")]);
        grid.row(vec![cell("id"), cell("7")]);
        assert_eq!(grid.render(Style::PLAIN), "id  7");
    }

    #[test]
    fn colour_appears_only_when_it_is_allowed() {
        assert!(!sample().render(Style::PLAIN).contains('\u{1b}'));
        let coloured = sample().render(Style {
            width: Some(100),
            colour: true,
        });
        assert!(coloured.contains('\u{1b}'), "{coloured}");
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        let mut grid = Grid::new(&[Column::text("MESSAGE")]);
        grid.row(vec![cell("\u{1b}[2Jgone\r\nnext")]);
        let text = grid.render(Style::PLAIN);
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    }
}
