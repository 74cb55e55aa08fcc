//! What is wrong with the settings, and what is dubious, collected, so that all of it is told at once.

use crate::error::{Error, Fault};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;

/// Something to tell, and what to look at: `bootstep.toml:7`, or the name of a variable or flag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Remark {
    pub place: String,
    pub what: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What there is to tell so far.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    mistakes: RefCell<Vec<Remark>>,
    doubts: RefCell<Vec<Remark>>,
}

impl Mistakes {
    /// One more thing that is wrong.
    pub fn add(&self, place: &str, what: impl Into<String>) {
        push(&self.mistakes, place, what.into());
    }

    /// One more thing that is allowed, and probably not meant.
    pub fn doubt(&self, place: &str, what: impl Into<String>) {
        push(&self.doubts, place, what.into());
    }

    /// All that is wrong, and all that is dubious, each from the top of the file down.
    pub fn told(self) -> (Vec<Remark>, Vec<Remark>) {
        (sorted(self.mistakes.into_inner()), sorted(self.doubts.into_inner()))
    }
}

fn push(remarks: &RefCell<Vec<Remark>>, place: &str, what: String) {
    remarks.borrow_mut().push(Remark { place: place.to_owned(), what });
}

fn sorted(mut remarks: Vec<Remark>) -> Vec<Remark> {
    // What two consumers stand on is looked at for each of them, and told once.
    let mut told = HashSet::new();
    remarks.retain(|remark| told.insert(remark.clone()));
    remarks.sort_by(|one, other| by_place(&one.place, &other.place));
    remarks
}

/// By the line, where both have one.
pub(super) fn by_place(one: &str, other: &str) -> Ordering {
    let split = |place: &str| {
        let (file, line) = place.rsplit_once(':')?;
        Some((file.to_owned(), line.parse::<usize>().ok()?))
    };
    match (split(one), split(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        // The file comes before what stands over it.
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => one.cmp(other),
    }
}

/// Nobody reads more at once; a file with so many has one cause for most of them.
const MOST_TOLD: usize = 50;

/// The mistakes in one error, each on a line of its own; of very many, the first.
pub(crate) fn error_of(mistakes: &[Remark]) -> Error {
    let what = match mistakes {
        [only] => only.to_string(),
        several => {
            let lines: String = several.iter().take(MOST_TOLD).map(|mistake| format!("\n  {mistake}")).collect();
            let more = match several.len().saturating_sub(MOST_TOLD) {
                0 => String::new(),
                more => format!("\n  and {more} more: mend these first, or see all with `check --json`"),
            };
            format!("the configuration has {} mistakes:{lines}{more}", several.len())
        }
    };
    Error::new(Fault::Config, what)
}
