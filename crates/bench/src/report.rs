//! What was measured: three rounds, their median, the bar, and the verdict.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// Jobs a second.
    JobsPerSecond,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Seconds.
    Seconds,
    /// One number divided by another.
    Ratio,
    /// Hundredths.
    Percent,
    /// Things.
    Count,
    /// Bytes.
    Bytes,
}

/// What a median has to reach.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Bar {
    /// Nothing: it is reported.
    None,
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// One line of a report: a number for each round.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    name: String,
    unit: Unit,
    bar: Bar,
    rounds: Vec<f64>,
}

/// The results of one scenario.
#[derive(Debug)]
pub(crate) struct Report {
    scenario: &'static str,
    measures: Vec<Measure>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(scenario: &'static str) -> Self {
        Self {
            scenario,
            measures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds one round's number to the line of that name; the first round makes the line.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: Unit, bar: Bar, value: f64) {
        let name = name.into();
        match self
            .measures
            .iter_mut()
            .find(|measure| measure.name == name)
        {
            Some(measure) => measure.rounds.push(value),
            None => self.measures.push(Measure {
                name,
                unit,
                bar,
                rounds: vec![value],
            }),
        }
    }

    /// Adds a sentence that the numbers need.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Prints the table, the notes, and one line of JSON.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header([self.scenario, "median", "rounds", "bar", ""]);
        for measure in &self.measures {
            let rounds: Vec<_> = measure
                .rounds
                .iter()
                .map(|v| measure.unit.text(*v))
                .collect();
            table.add_row([
                measure.name.clone(),
                measure.unit.text(median(&measure.rounds)),
                rounds.join("  "),
                measure.bar_text(),
                measure.verdict().to_owned(),
            ]);
        }
        for column in [1, 2, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{table}")?;
        for note in &self.notes {
            writeln!(out, "  {note}")?;
        }
        writeln!(out, "{}", self.json())
    }

    fn json(&self) -> Value {
        let measures: Vec<_> = self
            .measures
            .iter()
            .map(|measure| {
                json!({
                    "name": measure.name, "unit": measure.unit.name(),
                    "median": median(&measure.rounds), "rounds": measure.rounds,
                    "bar": measure.bar.json(), "met": measure.met(),
                })
            })
            .collect();
        json!({"scenario": self.scenario, "measures": measures, "notes": self.notes})
    }
}

impl Measure {
    fn met(&self) -> Option<bool> {
        let median = median(&self.rounds);
        match self.bar {
            Bar::None => None,
            Bar::AtLeast(bar) => Some(median >= bar),
            Bar::AtMost(bar) => Some(median <= bar),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.met() {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        }
    }

    fn bar_text(&self) -> String {
        match self.bar {
            Bar::None => String::new(),
            Bar::AtLeast(bar) => format!("≥ {}", self.unit.text(bar)),
            Bar::AtMost(bar) => format!("≤ {}", self.unit.text(bar)),
        }
    }
}

impl Bar {
    fn json(self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::AtLeast(bar) => json!({"at_least": bar}),
            Self::AtMost(bar) => json!({"at_most": bar}),
        }
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::JobsPerSecond => "jobs/s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Seconds => "s",
            Self::Ratio => "ratio",
            Self::Percent => "percent",
            Self::Count => "count",
            Self::Bytes => "bytes",
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::JobsPerSecond => format!("{value:.0}/s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Microseconds => format!("{value:.1} µs"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Ratio => format!("{value:.2}×"),
            Self::Percent => format!("{value:.2} %"),
            Self::Count => format!("{value:.0}"),
            Self::Bytes => format!("{:.2} MiB", value / f64::from(1 << 20)),
        }
    }
}

/// The middle number; of an even count, the mean of the two in the middle. Of nothing, NaN.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The least number that `percent` of the numbers do not exceed. Of nothing, NaN.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_not_the_mean() {
        assert!((median(&[9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((percentile(&hundred, 99) - 99.0).abs() < f64::EPSILON);
        assert!((percentile(&hundred, 50) - 50.0).abs() < f64::EPSILON);
        assert!((percentile(&[7.0], 99) - 7.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 99).is_nan());
    }

    #[test]
    fn a_bar_is_met_by_the_median_of_the_rounds() {
        let mut report = Report::new("test");
        for value in [0.5, 0.9, 1.0] {
            report.add("ratio", Unit::Ratio, Bar::AtLeast(0.8), value);
            report.add("time", Unit::Milliseconds, Bar::AtMost(0.8), value);
        }
        assert_eq!(report.measures[0].met(), Some(true));
        assert_eq!(report.measures[1].met(), Some(false));
        assert_eq!(report.json()["measures"][1]["met"], false);
    }
}
