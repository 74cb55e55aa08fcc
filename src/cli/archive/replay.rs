//! `archive replay`: messages back to work, each confirmed in its queue before it leaves the archive.

use super::back::{Back, Target};
use super::filter::{Filter, Matcher};
use super::room::Rooms;
use super::walk::{Batch, Go, Walk, Walked};
use super::which::{Found, Which};
use crate::broker::{Connection, Receipt};
use crate::cli::failure::{Done, Failure};
use crate::cli::note::{count, note, part_of};
use crate::cli::outflow::{Outflow, Sent, BATCH};
use crate::cli::pace::{Pace, Rate};
use crate::cli::session::{Progress, Session};
use crate::message::Publication;
use crate::topology::Queue;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// Reasons and targets that are told apart; more are told together.
const TOLD: usize = 50;

/// Sends messages back to work
///
/// Each goes straight to the queue that it failed in, as its publisher sent it, and its retries are counted anew. It leaves the
/// archive when the broker has confirmed it there; what no queue takes stays. Killed at any moment, this loses nothing and does at
/// most 200 messages twice; run again, it goes on with what is left. It ends with what was there at the beginning: what fails again
/// is not taken twice.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  bootstep archive replay orders                                 all that is in orders.archive
  bootstep archive replay orders --reason timeout --dry-run      what this would do
  bootstep archive replay orders --older-than 2h --rate 50/s     not all at once
  bootstep archive replay orders --dead --to orders.second-look
  bootstep archive replay orders --via-exchange                  to all queues bound for it")]
pub(crate) struct Replay {
    #[command(flatten)]
    which: Which,
    /// Straight to this queue instead of the one that each failed in
    #[arg(long, value_name = "QUEUE", conflicts_with = "via_exchange")]
    to: Option<String>,
    /// To the exchange that each first came by, with its routing key: to every queue that is bound for it
    #[arg(long)]
    via_exchange: bool,
    /// Takes this header out, too, such as one by which a worker of another make counts retries; may be given again
    #[arg(long, value_name = "NAME")]
    without_header: Vec<String>,
    /// At the most so many in a second (`500/s`), a minute or an hour [default: as fast as the broker confirms]
    #[arg(long, value_parser = Rate::parse)]
    rate: Option<Rate>,
    /// Only says what it would do
    #[arg(long)]
    dry_run: bool,
    /// Prints what was done as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

impl Replay {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        let matcher = self.filter.prepare()?;
        let connection = session.connect()?;
        let found = self.which.find(&connection)?;
        found.agree(session, &self.which)?;
        let target = self.target(&found)?;
        let outflow = Outflow::open(session)?;
        if let Target::Queue(queue) = &target {
            outflow.expect_queue(queue)?;
        }
        let user = outflow.user();
        let back = Back { target: &target, user: user.as_deref(), without: &self.without_header, now: matcher.now() };
        let most = self.filter.limit().unwrap_or(u64::MAX).min(found.messages);
        let (is_dry, yes) = (self.dry_run, self.which.yes);
        let mut rooms = Rooms { session, connection: &connection, most, is_dry, yes, known: BTreeSet::new() };
        if let (Target::Queue(queue), 1..) = (&target, most) {
            // Rather now than with messages in hand.
            rooms.agree(queue)?;
        }
        let mut sending = Sending {
            session,
            outflow,
            matcher: &matcher,
            back,
            pace: Pace::of(self.rate),
            progress: session.progress(Some(most), "replayed"),
            is_dry,
            rooms,
            left: most,
            tally: Tally::default(),
        };
        let walk = Walk::new(session, &connection, &found).batch(sending.pace.batch(BATCH)).window(sending.pace.minute());
        let walk = if matcher.is_empty() { walk.wanted(most) } else { walk };
        let ended = walk.run(&mut |batch| sending.batch(batch));
        sending.progress.finish();
        self.tell(sending.tally, ended, &found, &connection, out)
    }

    fn target(&self, found: &Found) -> Result<Target, Failure> {
        match &self.to {
            Some(queue) if *queue == found.name => {
                Err(Failure::usage(format!("`{queue}` is where they are: name another queue with `--to`, or leave it out")))
            }
            Some(queue) => Ok(Target::Queue(queue.clone())),
            None if self.via_exchange => Ok(Target::Exchange),
            None => Ok(Target::WhereItFailed),
        }
    }

    fn tell(
        &self,
        mut tally: Tally,
        ended: Result<Walked, Failure>,
        found: &Found,
        connection: &Connection,
        out: &mut dyn Write,
    ) -> Done {
        let was_interrupted = matches!(&ended, Ok(walked) if walked.was_interrupted) || tally.was_interrupted;
        let missing = if self.dry_run { tally.keep_missing(connection) } else { BTreeSet::new() };
        if self.json {
            let report = json!({
                "queue": found.name, "dry_run": self.dry_run, "held": found.messages, "matched": tally.matched,
                "replayed": tally.replayed, "kept": tally.kept, "to": tally.targets, "interrupted": was_interrupted,
            });
            writeln!(out, "{report}")?;
        } else if self.dry_run {
            for (target, number) in &tally.targets {
                let missing = if missing.contains(target) { ", which does not exist" } else { "" };
                writeln!(out, "{} would go to {target}{missing}", count(*number, "message"))?;
            }
        }
        for (why, number) in &tally.kept {
            note(&format!("{} stayed: {why}", count(*number, "message")));
        }
        let deed = if self.dry_run { "would replay" } else { "replayed" };
        let what = format!("{deed} {}", part_of(tally.replayed, found.messages, &found.name));
        let on = "what is left is there still; the same command goes on with it";
        match ended {
            Err(Failure { code, what: why }) => Err(Failure { code, what: format!("{why}; {what}; {on}") }),
            Ok(_) if was_interrupted => Err(Failure::incomplete(format!("interrupted; {what}; {on}"))),
            Ok(_) if !tally.kept.is_empty() => Err(Failure::incomplete(format!("{what}; some stayed, as told above"))),
            Ok(_) => {
                note(&what);
                Ok(())
            }
        }
    }
}

/// Whether the queue that is named in this target is not there.
fn is_missing(target: &str, connection: &Connection) -> bool {
    let name = target.strip_prefix("the queue `").and_then(|rest| rest.strip_suffix('`'));
    name.is_some_and(|queue| {
        let asked = connection.declare_queue(&Queue::existing(queue));
        asked.is_err_and(|err| err.fault() == crate::error::Fault::NotFound)
    })
}

/// What became of the messages that were meant.
#[derive(Default)]
struct Tally {
    matched: u64,
    replayed: u64,
    /// By the reason why they stayed.
    kept: BTreeMap<String, u64>,
    targets: BTreeMap<String, u64>,
    was_interrupted: bool,
}

impl Tally {
    fn keep(&mut self, why: String) {
        add(&mut self.kept, why, "for other reasons");
    }

    /// In a dry run: what would find no queue would stay.
    fn keep_missing(&mut self, connection: &Connection) -> BTreeSet<String> {
        let targets = self.targets.keys();
        let missing: BTreeSet<String> = targets.filter(|target| is_missing(target, connection)).cloned().collect();
        for target in &missing {
            let number = self.targets[target];
            self.replayed -= number;
            self.kept.insert(format!("{target} does not exist"), number);
        }
        missing
    }

    fn go(&mut self, publication: &Publication) {
        self.replayed += 1;
        let Publication { exchange, routing_key, .. } = publication;
        let target = match exchange.as_str() {
            "" => format!("the queue `{routing_key}`"),
            _ => format!("the exchange `{exchange}` with the routing key `{routing_key}`"),
        };
        add(&mut self.targets, target, "other places");
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: String, others: &str) {
    let has_room = counts.len() < TOLD || counts.contains_key(&name);
    *counts.entry(if has_room { name } else { others.to_owned() }).or_default() += 1;
}

struct Sending<'a> {
    session: &'a Session,
    outflow: Outflow<'a>,
    matcher: &'a Matcher,
    back: Back<'a>,
    pace: Pace,
    progress: Progress,
    is_dry: bool,
    rooms: Rooms<'a>,
    /// So many may go still; what stays does not count.
    left: u64,
    tally: Tally,
}

impl Sending<'_> {
    fn batch(&mut self, batch: &mut Batch<'_, '_>) -> Result<Go, Failure> {
        let mut next = 0;
        // More than once where some stay and others of the batch can go instead.
        while self.left > 0 && next < batch.letters().len() {
            let (places, publications) = self.meant(batch, &mut next);
            for publication in publications.iter().filter(|publication| publication.exchange.is_empty()) {
                self.rooms.agree(&publication.routing_key)?;
            }
            if self.is_dry {
                publications.iter().for_each(|publication| self.tally.go(publication));
                self.left -= publications.len() as u64;
            } else if !publications.is_empty() {
                if !self.pace.wait(publications.len(), self.session.interrupt()) {
                    self.tally.was_interrupted = true;
                    return Ok(Go::Enough);
                }
                self.send(batch, &places, &publications)?;
            }
            self.progress.add(places.len() as u64);
        }
        Ok(Go::still(self.left))
    }

    /// Those of the batch that are meant, from the next one on, as they are to be sent: no more than may go.
    fn meant(&mut self, batch: &Batch<'_, '_>, next: &mut usize) -> (Vec<usize>, Vec<Publication>) {
        let (mut places, mut publications) = (Vec::new(), Vec::new());
        for (place, letter) in batch.letters().iter().enumerate().skip(*next) {
            if places.len() as u64 == self.left {
                break;
            }
            *next = place + 1;
            if !self.matcher.matches(&letter.message) {
                continue;
            }
            self.tally.matched += 1;
            match self.back.to_work(&letter.message) {
                Ok(publication) => {
                    places.push(place);
                    publications.push(publication);
                }
                Err(why) => self.tally.keep(why),
            }
        }
        (places, publications)
    }

    /// Confirmed first, then taken: killed in between, a message is in both places; the other order would lose it.
    fn send(&mut self, batch: &mut Batch<'_, '_>, places: &[usize], publications: &[Publication]) -> Done {
        let Sent { receipts, failure } = self.outflow.send(publications);
        for ((place, publication), receipt) in places.iter().zip(publications).zip(receipts) {
            match receipt {
                Receipt::Taken => {
                    self.left -= 1;
                    self.tally.go(publication);
                    batch.take(*place)?;
                }
                Receipt::Unsent | Receipt::Unknown => {}
                refused => self.tally.keep(refused.to_string()),
            }
        }
        // Otherwise the acks of this batch might be lost together with those of the next one.
        batch.barrier()?;
        failure.map_or(Ok(()), Err)
    }
}
