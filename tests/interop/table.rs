//! What came of the cases, for a terminal and for the documentation.

use std::fmt::Write;
use std::time::Duration;

/// One case that was played.
pub struct Row {
    pub id: &'static str,
    pub what: &'static str,
    /// The Python package, with its version.
    pub package: String,
    /// What was counted; or what was not as it should be.
    pub result: Result<String, String>,
    pub took: Duration,
}

impl Row {
    /// The case on one line, and the complaint on more.
    pub fn told(&self) -> String {
        let (verdict, what) = match &self.result {
            Ok(counted) => ("good", counted),
            Err(complaint) => ("FAILED", complaint),
        };
        format!("{} {}: {verdict} in {:.1} s: {what}", self.id, self.what, self.took.as_secs_f64())
    }
}

/// The rows as a table in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from("| case | what | Python package | result |\n|---|---|---|---|\n");
    for Row { id, what, package, result, .. } in rows {
        let result = match result {
            Ok(counted) => format!("passed: {counted}"),
            Err(complaint) => format!("**failed**: {}", complaint.lines().next().unwrap_or_default()),
        };
        writeln!(text, "| {id} | {what} | {package} | {} |", result.replace('|', "\\|")).expect("a string takes any text");
    }
    text
}
