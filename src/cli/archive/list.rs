//! `archive list`: one line for each message.

use super::filter::Filter;
use super::past::Past;
use super::walk::{Go, Walk};
use super::which::Which;
use crate::cli::failure::Done;
use crate::cli::session::Session;
use std::io::Write;

/// Lists messages, oldest first, with the reason why each is there
#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    filter: Filter,
}

impl List {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        let matcher = self.filter.prepare()?;
        let connection = session.connect()?;
        let found = self.which.find(&connection)?;
        found.agree(session, &self.which)?;
        Walk::new(session, &connection, &found).run(&mut |batch| {
            for (number, letter) in (batch.first()..).zip(batch.letters()) {
                if matcher.matches(&letter.message) {
                    writeln!(out, "{number} {:?}", Past::of(&letter.message).reason)?;
                }
            }
            Ok(Go::On)
        })?;
        Ok(())
    }
}
