//! What programs on both sides say they did: lines of JSON in one file, each written at once, so that they outlive whoever wrote them.

use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of a case that both sides write to. A clone is the same file.
#[derive(Clone)]
pub struct Evidence {
    path: PathBuf,
    file: Arc<File>,
}

impl Evidence {
    pub fn at(path: PathBuf) -> Evidence {
        let file = OpenOptions::new().create(true).append(true).open(&path).expect("the case's folder can be written");
        Evidence { path, file: Arc::new(file) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// This adds a line, as the Python programs do.
    pub fn note(&self, line: &Value) {
        (&*self.file).write_all(format!("{line}\n").as_bytes()).expect("the case's folder can be written");
    }

    pub fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.path).expect("it was made before");
        text.lines().map(|line| serde_json::from_str(line).expect("each line is written at once")).collect()
    }

    /// The lines that one side wrote.
    pub fn by(&self, side: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["by"] == side).collect()
    }

    /// How many lines one side wrote, without reading them: a thousand messages make thousands.
    pub fn count(&self, side: &str) -> usize {
        self.by(side).len()
    }
}
