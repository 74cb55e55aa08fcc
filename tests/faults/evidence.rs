//! What handlers did, one line for each run of one, written so that it survives `kill -9` of the process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::support::now_ms;

/// What a run of a handler came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Done,
    Failed,
    Archived,
    Rejected,
    Requeued,
}

/// One run of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub number: u64,
    pub attempt: u32,
    pub deed: Deed,
    pub at_ms: u64,
    pub redelivered: bool,
}

/// The file that a worker process writes.
pub struct Book(File);

impl Book {
    pub fn open(path: &Path) -> io::Result<Book> {
        OpenOptions::new().create(true).append(true).open(path).map(Book)
    }

    /// One `write` for the line: what is in the kernel outlives the process, and lines of many threads do not mix.
    pub fn note(&self, number: u64, attempt: u32, deed: Deed, redelivered: bool) -> io::Result<()> {
        let letter = match deed {
            Deed::Done => 'd',
            Deed::Failed => 'f',
            Deed::Archived => 'a',
            Deed::Rejected => 'r',
            Deed::Requeued => 'q',
        };
        let line = format!("{number} {attempt} {letter} {} {}\n", now_ms(), u8::from(redelivered));
        (&self.0).write_all(line.as_bytes())
    }
}

/// All entries of all files in the folder whose names begin so, in the order of their time.
pub fn read_all(folder: &Path, prefix: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for file in fs::read_dir(folder).expect("the run's folder can be read").flatten() {
        if file.file_name().to_string_lossy().starts_with(prefix) {
            let text = fs::read_to_string(file.path()).expect("evidence is text");
            entries.extend(text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("no evidence: `{line}`"))));
        }
    }
    entries.sort_by_key(|entry: &Entry| entry.at_ms);
    entries
}

fn parse(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let attempt = words.next()?.parse().ok()?;
    let deed = match words.next()? {
        "d" => Deed::Done,
        "f" => Deed::Failed,
        "a" => Deed::Archived,
        "r" => Deed::Rejected,
        "q" => Deed::Requeued,
        _ => return None,
    };
    Some(Entry { number, attempt, deed, at_ms: words.next()?.parse().ok()?, redelivered: words.next()? == "1" })
}
