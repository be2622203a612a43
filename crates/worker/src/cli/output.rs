//! Standard output: text, tables and JSON, for people at a terminal and for programs in a pipe.
//!
//! A closed pipe ends a command quietly: `worker job list | head` is no failure.

use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table};
use serde::Serialize;

use super::error::{CommandError, Exit};

/// How standard output wants to be written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// The terminal's width in columns; `None` when standard output is no terminal.
    pub width: Option<u16>,
    /// Whether colour may be used.
    pub colour: bool,
}

impl Style {
    /// Plain text of any width, as for a pipe.
    pub const PLAIN: Self = Self {
        width: None,
        colour: false,
    };
}

/// Where a command writes its answer.
#[derive(Debug)]
pub struct Output {
    style: Style,
}

impl Output {
    /// Standard output; `no_colour` is what `NO_COLOR` says.
    #[must_use]
    pub fn stdout(no_colour: bool) -> Self {
        if !io::stdout().is_terminal() {
            return Self {
                style: Style::PLAIN,
            };
        }
        let width = Table::new().width().unwrap_or(80).max(40);
        Self {
            style: Style {
                width: Some(width),
                colour: !no_colour,
            },
        }
    }

    /// How to write.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether a person is looking.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.style.width.is_some()
    }

    /// Writes text and a line break.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        let written = writeln!(stdout, "{}", text.as_ref()).and_then(|()| stdout.flush());
        written.map_err(|error| write_failed(&error))
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|error| write_failed(&error))
    }

    /// Writes a JSON document: indented for a person, on one line for a program.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn json(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let text = if self.is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        self.line(text.map_err(|error| CommandError::caused(Exit::Failed, &error))?)
    }

    /// Writes a JSON document on one line, as one of a stream.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn json_line(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string(value);
        self.line(text.map_err(|error| CommandError::caused(Exit::Failed, &error))?)
    }
}

fn write_failed(error: &io::Error) -> CommandError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return CommandError::silent(Exit::ReaderGone);
    }
    CommandError::new(
        Exit::Failed,
        format!("cannot write to standard output: {error}"),
    )
}

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

/// How a column of a [`Grid`] behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// Text that may be broken into lines where the terminal is narrow.
    Text(&'static str),
    /// Text that is useless when broken, such as an id.
    Whole(&'static str),
    /// A number, aligned right.
    Number(&'static str),
}

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
        let header = self.columns.iter().map(|column| match column {
            Column::Text(name) | Column::Whole(name) | Column::Number(name) => *name,
        });
        table.set_header(header);
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| toned(cell, style.colour)));
        }
        let last = self.columns.len().saturating_sub(1);
        for (position, (column, kind)) in table.column_iter_mut().zip(&self.columns).enumerate() {
            column.set_padding((0, if position == last { 0 } else { 2 }));
            match kind {
                Column::Text(_) => {}
                Column::Whole(_) => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
                Column::Number(_) => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        table.trim_fmt()
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
            Column::Whole("ID"),
            Column::Number("COUNT"),
            Column::Text("MESSAGE"),
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
        let mut grid = Grid::new(&[Column::Text("MESSAGE")]);
        grid.row(vec![cell("\u{1b}[2Jgone\r\nnext")]);
        let text = grid.render(Style::PLAIN);
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    }
}
