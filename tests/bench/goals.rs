//! What was aimed at, and what came of it.

use std::fmt::Write as _;

/// One aim.
struct Goal {
    what: String,
    most: f64,
    found: f64,
    unit: &'static str,
}

/// All of them, in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Goals(Vec<Goal>);

impl Goals {
    /// `found` is to be no more than `most`.
    pub(crate) fn at_most(&mut self, what: impl Into<String>, most: f64, found: f64, unit: &'static str) {
        self.0.push(Goal { what: what.into(), most, found, unit });
    }

    /// Fails when one was missed.
    #[track_caller]
    pub(crate) fn assert_met(&self) {
        let missed = self.0.iter().find(|goal| goal.found > goal.most);
        assert!(missed.is_none(), "{}", self.table());
    }

    /// As rows of a table.
    pub(crate) fn table(&self) -> String {
        let mut text = "| aim | at most | found | |\n|---|---|---|---|\n".to_owned();
        for Goal { what, most, found, unit } in &self.0 {
            let met = if found <= most { "met" } else { "**not met**" };
            let _ = writeln!(text, "| {what} | {most}{unit} | {}{unit} | {met} |", number(*found));
        }
        text
    }

    /// Tells them past the harness.
    pub(crate) fn say(&self) {
        super::say(&format!("\n{}", self.table()));
    }
}

/// A number with as many digits as one reads.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
