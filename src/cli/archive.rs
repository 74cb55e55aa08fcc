//! `archive`: what was given up, looked at, sent back, kept in files, or dropped; and what was rejected just the same.
//!
//! All of it stands on one [`walk`](walk::Walk) through a queue, and on one [`filter`](filter::Filter).

mod agree;
mod agreed;
mod back;
mod drop;
mod export;
mod filter;
mod fingerprint;
mod group;
mod import;
mod list;
mod look;
mod past;
mod replay;
mod room;
mod safe;
mod show;
mod walk;
mod which;
mod window;

use super::failure::Done;
use super::session::Session;
use std::io::Write;

/// Shows messages that were given up, sends them back to work, keeps them in files, drops them
///
/// A message whose retries are used up is kept in the archive of its queue, `QUEUE.archive`, and one that was rejected in its dead
/// letters, `QUEUE.dead`, with headers that say why. These commands work on either, and on any other queue with `--exactly`.
#[derive(clap::Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Archive {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bootstep archive list orders                         what is in orders.archive, oldest first
  bootstep archive list orders --dead --older-than 7d  in orders.dead for longer than a week
  bootstep archive group orders                        how many there are for each reason
  bootstep archive show orders --number 3              everything of the third message
  bootstep archive replay orders --reason timeout      back to work, those that failed by it
  bootstep archive export orders --drop --to x.jsonl   into a file, and off the queue";

#[derive(clap::Subcommand)]
enum Command {
    List(list::List),
    Show(show::Show),
    Group(group::Group),
    Replay(replay::Replay),
    Export(export::Export),
    Import(import::Import),
    Drop(drop::Drop),
}

impl Archive {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        match self.command {
            Command::List(list) => list.run(session, out),
            Command::Show(show) => show.run(session, out),
            Command::Group(group) => group.run(session, out),
            Command::Replay(replay) => replay.run(session, out),
            Command::Export(export) => export.run(session, out),
            Command::Import(import) => import.run(session, out),
            Command::Drop(drop) => drop.run(session, out),
        }
    }
}
