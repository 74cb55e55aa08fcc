//! `archive drop`: messages gone for good, once somebody has agreed to how many.

use super::filter::{Filter, Matcher};
use super::walk::{Go, Walk, Walked};
use super::which::{Found, Which};
use crate::broker::Connection;
use crate::cli::failure::{Done, Failure};
use crate::cli::note::{note, part_of};
use crate::cli::session::Session;
use serde_json::json;
use std::io::Write;

/// Drops messages for good
///
/// It asks before, naming how many of how many; where there is nobody to ask, it wants `--yes`. `archive export --drop` keeps them
/// in a file.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  bootstep archive drop orders --older-than 90d
  bootstep archive drop orders --fingerprint 1f3a90cc --yes
  bootstep archive drop orders --dead --dry-run")]
pub(crate) struct Drop {
    #[command(flatten)]
    which: Which,
    /// Only says how many it would drop
    #[arg(long)]
    dry_run: bool,
    /// Prints what was done as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

impl Drop {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        let matcher = self.filter.prepare()?;
        let connection = session.connect()?;
        let found = self.which.find(&connection)?;
        let most = self.filter.limit().unwrap_or(u64::MAX).min(found.messages);
        // What nobody filters need not be looked at to be counted.
        let needs_look = !matcher.is_empty() && (self.dry_run || !self.which.yes);
        if !matcher.is_empty() {
            found.agree(session, &self.which)?;
        }
        let going = Going { session, connection: &connection, found: &found, matcher: &matcher };
        let meant = if needs_look { going.walk(most, "looked at", false)?.0 } else { most };
        if self.dry_run {
            return self.tell(meant, "would drop", &found, out);
        }
        if meant > 0 {
            let question = format!("{} would be gone for good.", part_of(meant, found.messages, &found.name));
            session.confirm(&question, self.which.yes)?;
        }
        let (dropped, walked) = going.walk(meant, "dropped", true)?;
        if walked.was_interrupted {
            let what = format!("interrupted; dropped {}", part_of(dropped, found.messages, &found.name));
            return Err(Failure::incomplete(what));
        }
        self.tell(dropped, "dropped", &found, out)
    }

    fn tell(&self, number: u64, deed: &str, found: &Found, out: &mut dyn Write) -> Done {
        if self.json {
            let dropped = if self.dry_run { 0 } else { number };
            let report = json!({
                "queue": found.name, "dry_run": self.dry_run, "held": found.messages, "matched": number, "dropped": dropped,
            });
            writeln!(out, "{report}")?;
        }
        note(&format!("{deed} {}", part_of(number, found.messages, &found.name)));
        Ok(())
    }
}

struct Going<'a> {
    session: &'a Session,
    connection: &'a Connection,
    found: &'a Found,
    matcher: &'a Matcher,
}

impl Going<'_> {
    /// Goes through the queue, and answers how many were meant; with `drops`, those are gone.
    fn walk(&self, most: u64, what: &str, drops: bool) -> Result<(u64, Walked), Failure> {
        let Going { session, connection, found, matcher } = self;
        let progress = session.progress(Some(if drops { most } else { found.messages }), what);
        let mut meant = 0;
        let walked = Walk::new(session, connection, found).run(&mut |batch| {
            for place in 0..batch.letters().len() {
                if meant < most && matcher.matches(&batch.letters()[place].message) {
                    meant += 1;
                    if drops {
                        batch.take(place)?;
                    }
                }
            }
            progress.add(batch.letters().len() as u64);
            Ok(if meant == most { Go::Enough } else { Go::On })
        })?;
        progress.finish();
        Ok((meant, walked))
    }
}
