//! What the demo tells while it runs: one line for each thing that happened, with its time, and a
//! moving line for progress where somebody looks.

use std::time::Duration;

use indicatif::ProgressBar;
use leasectl_core::time::BootInstant;

use crate::cli::{Column, CommandError, Context, Grid, Output, age, cell, progress_bar};

/// How often progress is told where there is no terminal.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The demo's narrator.
pub(crate) struct Story<'a> {
    output: &'a Output,
    began: BootInstant,
    bar: ProgressBar,
    moving: bool,
    told: Option<(BootInstant, String)>,
    timings: Vec<(String, Duration)>,
}

impl<'a> Story<'a> {
    /// Begins at 0.
    pub(crate) fn new(context: &'a Context) -> Self {
        Self {
            output: context.output(),
            began: BootInstant::now(),
            bar: progress_bar(context),
            moving: context.shows_progress(),
            told: None,
            timings: Vec::new(),
        }
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Something that happened, with its time.
    pub(crate) fn tell(&mut self, what: &str) -> Result<(), CommandError> {
        let line = format!("{:>6.2}s  {what}", self.elapsed().as_secs_f64());
        self.say(&line)
    }

    /// Text without a time.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), CommandError> {
        self.bar.suspend(|| self.output.line(text))
    }

    /// What is going on right now; told at most once a second where there is no terminal.
    pub(crate) fn progress(&mut self, what: &str) -> Result<(), CommandError> {
        if self.moving {
            self.bar.set_message(what.to_owned());
            return Ok(());
        }
        let news = match &self.told {
            Some((when, said)) => said != what && when.elapsed() >= TELL_EVERY,
            None => true,
        };
        if news {
            self.told = Some((BootInstant::now(), what.to_owned()));
            self.tell(what)?;
        }
        Ok(())
    }

    /// Clears the moving line.
    pub(crate) fn pause(&mut self) {
        self.bar.finish_and_clear();
    }

    /// Remembers how long a step took, for [`Self::timings`].
    pub(crate) fn took(&mut self, step: &str, duration: Duration) {
        self.timings.push((step.to_owned(), duration));
    }

    /// All steps and how long they took, as a table.
    pub(crate) fn timings(&mut self) -> Result<(), CommandError> {
        let mut grid = Grid::new(&[Column::text("STEP"), Column::number("TIME")]);
        for (step, duration) in &self.timings {
            grid.row(vec![cell(step), cell(age(*duration))]);
        }
        let text = grid.render(self.output.style());
        self.say(&format!("\n{text}"))
    }
}
