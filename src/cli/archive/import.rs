//! `archive import`: exported messages back to their archive, as they were.

use crate::cli::failure::{Done, Failure};
use crate::cli::lines::Next;
use crate::cli::outflow::Outflow;
use crate::cli::pace::Rate;
use crate::cli::pour::{pour, Piece, Plan, Spring};
use crate::cli::records::Records;
use crate::cli::replay::{set_copies_aside, set_user_aside};
use crate::cli::session::Session;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Puts exported messages back where they were
///
/// Each goes straight to the queue that its record names, with all its headers and properties; `archive replay` sends it to work
/// from there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  bootstep archive import orders.jsonl
  bootstep archive import orders.jsonl --to orders.archive --skip 1200")]
pub(crate) struct Import {
    /// The file, as `archive export` writes it; `-` is standard input
    file: PathBuf,
    /// To this queue, which must exist, instead of the one that each record names
    #[arg(long, visible_alias = "into", value_name = "QUEUE")]
    to: Option<String>,
    /// At the most so many in a second (`500/s`), a minute or an hour [default: as fast as the broker confirms]
    #[arg(long, value_parser = Rate::parse)]
    rate: Option<Rate>,
    /// Imports no more than so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Leaves out so many lines at the beginning
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    skip: u64,
    /// Goes on behind lines that are no records
    #[arg(long)]
    skip_broken: bool,
}

impl Import {
    pub fn run(self, session: &Session, _out: &mut dyn Write) -> Done {
        let records = Records::open(&self.file, self.skip, self.skip_broken)?;
        let mut outflow = Outflow::open(session)?;
        if let Some(queue) = &self.to {
            outflow.expect_queue(queue)?;
        }
        let plan = Plan { rate: self.rate, limit: self.limit.unwrap_or(u64::MAX), total: self.limit, skipped: self.skip };
        let mut spring = Exported { records, to: self.to, user: outflow.user() };
        pour(session, &mut outflow, &mut spring, &plan, "imported")
    }
}

struct Exported {
    records: Records,
    to: Option<String>,
    user: Option<String>,
}

impl Spring for Exported {
    fn next(&mut self, within: Duration) -> Result<Next<Piece>, Failure> {
        let record = match self.records.next(within)? {
            Next::One(record) => record,
            Next::Later => return Ok(Next::Later),
            Next::End => return Ok(Next::End),
        };
        let Some(queue) = self.to.as_ref().or(record.queue.as_ref()) else {
            let what = format!("line {} does not say from which queue it is: name one with `--to`", record.at);
            return Err(Failure::usage(what));
        };
        let mut publication = record.publication.to("", queue);
        set_copies_aside(&mut publication);
        set_user_aside(&mut publication, self.user.as_deref());
        Ok(Next::One(Piece { at: record.at, publication }))
    }

    fn unit(&self) -> &'static str {
        "line"
    }

    fn left_out(&self) -> u64 {
        self.records.broken()
    }
}
