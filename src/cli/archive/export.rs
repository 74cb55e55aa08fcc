//! `archive export`: messages into a file, exactly, and off their queue once they are safe there, if that is wanted.

use super::filter::Filter;
use super::walk::{Batch, Go, Walk};
use super::which::Which;
use crate::cli::failure::{Done, Failure};
use crate::cli::note::{count, note, part_of};
use crate::cli::record_file::WriteTo;
use crate::cli::records::written;
use crate::cli::session::Session;
use std::io::Write;

/// Written and synced before any of them leaves its queue.
const BATCH: usize = 500;

/// Writes messages into a file, one JSON record a line
///
/// The messages stay where they are, unless `--drop` takes them off: each is on the disk before. `archive import` brings them
/// back.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  bootstep archive export orders --to orders.jsonl
  bootstep archive export orders --older-than 30d --drop --to old.jsonl --append
  bootstep archive export orders --to - | jq .properties.headers")]
pub(crate) struct Export {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    to: WriteTo,
    /// Takes them off the queue when they are safe in the file
    #[arg(long)]
    drop: bool,
    #[command(flatten)]
    filter: Filter,
}

impl Export {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        if self.drop && self.to.is_stdout() {
            return Err(Failure::usage(
                "what leaves its queue must be safe first: name a file with `--to`, which can be synced",
            ));
        }
        let matcher = self.filter.prepare()?;
        let connection = session.connect()?;
        let found = self.which.find(&connection)?;
        found.agree(session, &self.which)?;
        let mut file = self.to.open(out)?;
        let mut left = self.filter.limit().unwrap_or(u64::MAX);
        let progress = session.progress(Some(left.min(found.messages)), "exported");
        let (mut exported, mut unread) = (0, 0);
        let walk = Walk::new(session, &connection, &found).batch(BATCH);
        let walk = if matcher.is_empty() { walk.wanted(left) } else { walk };
        let ended = walk.run(&mut |batch: &mut Batch<'_, '_>| {
            let mut places = Vec::new();
            for (place, letter) in batch.letters().iter().enumerate() {
                if left == 0 || !matcher.matches(&letter.message) {
                    continue;
                }
                if letter.message.originals().next().is_some() {
                    unread += 1;
                    continue;
                }
                left -= 1;
                file.write(&written(&letter.message))?;
                places.push(place);
            }
            // In the file first: killed in between, a message is in both places; the other order would lose it.
            if self.drop && !places.is_empty() {
                file.sync()?;
                places.iter().try_for_each(|place| batch.take(*place))?;
            }
            exported += places.len() as u64;
            progress.add(places.len() as u64);
            Ok(Go::still(left))
        });
        progress.finish();
        let ended = ended.and_then(|walked| file.sync().map(|()| walked));
        if unread > 0 {
            note(&format!("{} stayed: what they have cannot be read, and so not be written exactly", count(unread, "message")));
        }
        let taken = if self.drop && exported > 0 { ", which are gone from it" } else { "" };
        let what = format!("exported {}{taken}", part_of(exported, found.messages, &found.name));
        match ended {
            Err(Failure { what: why, .. }) if why.is_empty() => Ok(()),
            Err(Failure { code, what: why }) => Err(Failure { code, what: format!("{why}; {what}") }),
            Ok(walked) if walked.was_interrupted => Err(Failure::incomplete(format!("interrupted; {what}"))),
            Ok(_) if unread > 0 => Err(Failure::incomplete(what)),
            Ok(_) => {
                note(&what);
                Ok(())
            }
        }
    }
}
