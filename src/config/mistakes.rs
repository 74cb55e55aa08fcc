//! What is wrong with the settings, and what is dubious, collected, so that all of it is told at once.

use crate::error::{Error, Fault};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;

/// Something to tell, and what to look at: `bootstep.toml:7`, or the name of a variable or flag.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    let remark = Remark { place: place.to_owned(), what };
    // What two consumers stand on is looked at for each of them.
    if !remarks.borrow().contains(&remark) {
        remarks.borrow_mut().push(remark);
    }
}

fn sorted(mut remarks: Vec<Remark>) -> Vec<Remark> {
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

/// All mistakes in one error, each on a line of its own.
pub(crate) fn error_of(mistakes: &[Remark]) -> Error {
    let what = match mistakes {
        [only] => only.to_string(),
        several => {
            let lines: String = several.iter().map(|mistake| format!("\n  {mistake}")).collect();
            format!("the configuration has {} mistakes:{lines}", several.len())
        }
    };
    Error::new(Fault::Config, what)
}
