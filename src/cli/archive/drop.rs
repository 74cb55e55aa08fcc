//! `archive drop`: messages gone for good, once somebody has agreed to how many.

use super::agreed::Agreed;
use super::filter::{Filter, Matcher};
use super::walk::{Go, Walk, Walked};
use super::which::{Found, Which};
use crate::broker::Connection;
use crate::cli::failure::{Done, Failure};
use crate::cli::note::{count, note, part_of};
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
        // Whoever is asked agrees to just those that were there then. What nobody filters need not be looked at to be counted.
        let needs_look = if self.dry_run { !matcher.is_empty() } else { !self.which.yes };
        if needs_look || !matcher.is_empty() {
            found.agree(session, &self.which)?;
        }
        let going = Going { session, connection: &connection, found: &found, matcher: &matcher };
        let mut agreed = Agreed::default();
        let meant = if needs_look { going.look(most, &mut agreed)? } else { most };
        if self.dry_run {
            return self.tell(meant, "would drop", &found, out);
        }
        if meant > 0 {
            let question = format!("{} would be gone for good.", part_of(meant, found.messages, &found.name));
            session.confirm(&question, self.which.yes)?;
        }
        let (dropped, walked) = going.drop(meant, needs_look.then_some(&mut agreed))?;
        if walked.was_interrupted {
            let what = format!("interrupted; dropped {}", part_of(dropped, found.messages, &found.name));
            return Err(Failure::incomplete(what));
        }
        self.tell(dropped, "dropped", &found, out)?;
        match needs_look && dropped < meant {
            true => Err(Failure::incomplete(format!(
                "{} of those you agreed to were not there any more; what came instead stays",
                count(meant - dropped, "message")
            ))),
            false => Ok(()),
        }
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
    fn walk(&self, most: u64) -> Walk<'_> {
        let walk = Walk::new(self.session, self.connection, self.found);
        // With filters nobody knows how many have to be looked at.
        if self.matcher.is_empty() {
            walk.wanted(most)
        } else {
            walk
        }
    }

    /// Answers how many are meant, and notes which.
    fn look(&self, most: u64, agreed: &mut Agreed) -> Result<u64, Failure> {
        let progress = self.session.progress(Some(self.found.messages), "looked at");
        let mut meant = 0;
        let walked = self.walk(most).run(&mut |batch| {
            for letter in batch.letters() {
                if meant < most && self.matcher.matches(&letter.message) {
                    meant += 1;
                    agreed.add(&letter.message);
                }
            }
            progress.add(batch.letters().len() as u64);
            Ok(Go::still(most - meant))
        })?;
        match walked.was_interrupted {
            true => Err(Failure::incomplete("interrupted; nothing was dropped")),
            false => Ok(meant),
        }
    }

    /// Drops those that are meant, if anybody was asked only those that he has agreed to, and answers how many they were.
    fn drop(&self, most: u64, mut agreed: Option<&mut Agreed>) -> Result<(u64, Walked), Failure> {
        let progress = self.session.progress(Some(most), "dropped");
        let mut dropped = 0;
        let walked = self.walk(most).run(&mut |batch| {
            let before = dropped;
            for place in 0..batch.letters().len() {
                let message = &batch.letters()[place].message;
                let is_agreed = |agreed: &mut Option<&mut Agreed>| agreed.as_mut().is_none_or(|agreed| agreed.find(message));
                if dropped < most && self.matcher.matches(message) && is_agreed(&mut agreed) {
                    dropped += 1;
                    batch.take(place)?;
                }
            }
            progress.add(dropped - before);
            Ok(Go::still(most - dropped))
        })?;
        Ok((dropped, walked))
    }
}
