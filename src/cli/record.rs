//! `record`: messages into a file as they pass an exchange, or taken off a queue.

use super::failure::{Done, Failure};
use super::note::{count, note};
use super::record_file::{RecordFile, WriteTo};
use super::records::written;
use super::session::{Progress, Session};
use crate::broker::{Connection, Inbox, Subscribe};
use crate::topology::Queue;
use std::io::Write;
use std::time::{Duration, Instant};

/// Written before anybody flushes or syncs.
const BATCH: u64 = 200;

/// What passes faster than it is written waits here, at the most; then the oldest is left out.
const WAITING: u32 = 100_000;
const WAITING_BYTES: u32 = 256 << 20;

/// How long a batch waits for its next message.
const FILLED_WITHIN: Duration = Duration::from_millis(20);

/// How often somebody who waits looks whether to stop.
const TICK: Duration = Duration::from_millis(200);

/// Writes messages into a file as they pass, one JSON record a line
///
/// From an exchange it takes copies, by a queue of its own that goes with it: nobody else notices. From a queue it takes the
/// messages themselves, which wants `--take`: each is on the disk before it leaves the queue. It ends with `--limit`, with `--for`,
/// or with Ctrl-C.
#[derive(clap::Args)]
#[command(
    after_help = "\
Examples:
  bootstep record --exchange shop --routing-key 'order.#' --to orders.jsonl --for 10m
  bootstep record --exchange amq.topic --to - | jq .body
  bootstep record --queue orders --take --to orders.jsonl --append --limit 1000",
    group(clap::ArgGroup::new("wherefrom").required(true).args(["queue", "exchange"]))
)]
pub(crate) struct Record {
    /// Copies of what passes this exchange
    #[arg(long, value_name = "EXCHANGE")]
    exchange: Option<String>,
    /// Only with this routing key, as a binding takes it; may be given again [default: `#`]
    #[arg(long, value_name = "KEY", requires = "exchange", conflicts_with = "queue")]
    routing_key: Vec<String>,
    /// The messages of this queue; they are gone from it then, so say `--take` as well
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Takes the messages off the queue
    #[arg(long, requires = "queue", conflicts_with = "exchange")]
    take: bool,
    #[command(flatten)]
    to: WriteTo,
    /// Ends after so many messages
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Ends after this time, such as 10m
    #[arg(long = "for", value_name = "TIME", value_parser = crate::duration::parse)]
    how_long: Option<Duration>,
}

impl Record {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        self.check()?;
        let connection = session.connect()?;
        let queue = self.source(&connection)?;
        let file = self.to.open(out)?;
        let prefetch = self.limit.map_or(BATCH, |limit| limit.min(BATCH)) as u16;
        let due = self.how_long.and_then(|time| Instant::now().checked_add(time));
        let progress = session.progress(self.limit, "recorded");
        let mut taking =
            Taking { session, file, progress, due, record: &self, prefetch, left: 0, written: 0, acked: 0, open: Vec::new() };
        // From here on Ctrl-C is a wish.
        session.interrupt();
        if self.queue.is_none() {
            note(&format!("recording to {}; Ctrl-C ends it", self.to.name()));
        }
        let ended = connection.consume_with(&queue, &Subscribe::new().prefetch(prefetch), |inbox| taking.all(inbox));
        let ended = ended.map_err(Failure::from).and_then(|ended| ended);
        taking.progress.finish();
        self.watch_for_loss(&connection, &queue);
        taking.end(ended)
    }

    fn check(&self) -> Done {
        match &self.queue {
            Some(queue) if !self.take => Err(Failure::usage(format!(
                "the messages of `{queue}` would be gone from it: say `--take` if that is meant, or record copies from an exchange"
            ))),
            Some(_) if self.to.is_stdout() => {
                Err(Failure::usage("what is taken off a queue must be safe first: name a file with `--to`, which can be synced"))
            }
            _ => Ok(()),
        }
    }

    /// The queue to consume: the one named, or one of its own that is bound to the exchange.
    fn source(&self, connection: &Connection) -> Result<String, Failure> {
        let Some(exchange) = &self.exchange else {
            let queue = self.queue.clone().unwrap_or_default();
            connection.declare_queue(&Queue::existing(&*queue))?;
            return Ok(queue);
        };
        if exchange.is_empty() {
            return Err(Failure::usage(
                "nothing can be bound to the default exchange: name another, or a queue with `--queue`",
            ));
        }
        let mut own = Queue::new("").exclusive().transient().max_length(WAITING).max_length_bytes(WAITING_BYTES);
        let everything = ["#".to_owned()];
        let keys = if self.routing_key.is_empty() { &everything[..] } else { &self.routing_key };
        for key in keys {
            own = own.bind(exchange, key);
        }
        Ok(connection.declare_queue(&own)?.name)
    }

    /// Tells what has passed and is not in the file; with a limit, more was not wanted.
    fn watch_for_loss(&self, connection: &Connection, queue: &str) {
        if self.queue.is_some() {
            return;
        }
        match connection.declare_queue(&Queue::existing(queue)).map_or(0, |status| status.messages) {
            WAITING.. => note("messages passed faster than they could be written: the oldest of them were left out"),
            1.. if self.limit.is_some() => {}
            0 => {}
            left => note(&format!(
                "{} passed before the end and were not written: they passed faster than that",
                count(left.into(), "message")
            )),
        }
    }

    fn is_take(&self) -> bool {
        self.queue.is_some()
    }
}

struct Taking<'a> {
    session: &'a Session,
    file: RecordFile<'a>,
    progress: Progress,
    due: Option<Instant>,
    record: &'a Record,
    prefetch: u16,
    /// How many are unsettled for good, out of those that the prefetch has room for.
    left: u16,
    written: u64,
    acked: u64,
    /// The tags of what is written and not acked.
    open: Vec<u64>,
}

impl Taking<'_> {
    fn all(&mut self, inbox: &mut Inbox<'_>) -> Done {
        while !self.is_enough() {
            let left = self.due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()));
            let within = if !self.open.is_empty() { FILLED_WITHIN } else { TICK };
            match inbox.next(within.min(left))? {
                Some(letter) => {
                    if self.record.is_take() && letter.message.originals().next().is_some() {
                        note("a message is left where it is: what it has cannot be read, and so not be written exactly");
                        self.pass(inbox, letter.tag)?;
                        continue;
                    }
                    self.file.write(&written(&letter.message))?;
                    self.written += 1;
                    self.open.push(letter.tag);
                    // A large one goes to the disk by itself, so that not much is held twice.
                    if self.written - self.acked >= BATCH || letter.message.body().len() > 1 << 20 {
                        self.settle(inbox)?;
                    }
                }
                None => self.settle(inbox)?,
            }
        }
        self.settle(inbox)
    }

    /// Leaves a message, and makes room when nothing but such would be delivered.
    fn pass(&mut self, inbox: &mut Inbox<'_>, tag: u64) -> Done {
        inbox.leave(tag);
        self.left += 1;
        if self.left == self.prefetch {
            inbox.more(self.prefetch)?;
            self.left = 0;
        }
        Ok(())
    }

    fn is_enough(&self) -> bool {
        self.record.limit.is_some_and(|limit| self.written >= limit)
            || self.due.is_some_and(|due| Instant::now() >= due)
            || self.session.interrupt().is_asked()
    }

    /// Written and safe first, then acked: killed in between, a message is in the file and on its queue.
    fn settle(&mut self, inbox: &mut Inbox<'_>) -> Done {
        if self.open.is_empty() {
            return Ok(());
        }
        match self.record.is_take() {
            true => self.file.sync()?,
            false => self.file.flush()?,
        }
        // One by one: what is left in between is not to go with them.
        self.open.drain(..).try_for_each(|tag| inbox.ack(tag))?;
        self.progress.add(self.written - self.acked);
        self.acked = self.written;
        Ok(())
    }

    fn end(self, ended: Done) -> Done {
        let what = format!("recorded {} to {}", count(self.acked, "message"), self.record.to.name());
        match ended {
            Err(Failure { code, what: why }) if !why.is_empty() => Err(Failure { code, what: format!("{why}; {what}") }),
            Err(quiet) => Err(quiet),
            Ok(()) => {
                note(&what);
                let is_short = self.record.limit.is_some_and(|limit| self.acked < limit);
                match is_short && self.session.interrupt().is_asked() {
                    true => Err(Failure::incomplete("interrupted before the limit was reached")),
                    false => Ok(()),
                }
            }
        }
    }
}
