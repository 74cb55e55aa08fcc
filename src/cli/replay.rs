//! `replay`: the records of a file, published once more.

use super::failure::{Done, Failure};
use super::lines::Next;
use super::note::{count, note};
use super::outflow::Outflow;
use super::pace::Rate;
use super::pour::{pour, Piece, Plan, Spring};
use super::records::{Record, Records};
use super::session::Session;
use crate::delivered::headers;
use crate::message::{Publication, Value};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Publishes the records of a file, as `record` and `archive export` write them
///
/// Each goes to the exchange that it came by, with its routing key and all its properties; or where the options say.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  bootstep replay orders.jsonl
  bootstep replay orders.jsonl --to-queue orders.test --rate 100/s
  bootstep replay orders.jsonl --exchange shop.test --speed 10x
  bootstep replay orders.jsonl --skip 1200       goes on behind line 1200")]
pub(crate) struct Replay {
    /// The file; `-` is standard input
    file: PathBuf,
    /// Straight to this queue, which must exist, instead of the exchange of each
    #[arg(long, value_name = "QUEUE", conflicts_with_all = ["exchange", "routing_key"])]
    to_queue: Option<String>,
    /// To this exchange, which must exist, instead of that of each
    #[arg(long, value_name = "EXCHANGE")]
    exchange: Option<String>,
    /// With this routing key instead of that of each
    #[arg(long, value_name = "KEY")]
    routing_key: Option<String>,
    /// At the most so many in a second (`500/s`), a minute or an hour [default: as fast as the broker confirms]
    #[arg(long, value_parser = Rate::parse)]
    rate: Option<Rate>,
    /// With the pauses that were between them when they were recorded: `1x`, or `10x` for a tenth of each
    #[arg(long, value_parser = speed, conflicts_with = "rate")]
    speed: Option<f64>,
    /// Publishes no more than so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Leaves out so many lines at the beginning
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    skip: u64,
    /// Goes on behind lines that are no records
    #[arg(long)]
    skip_broken: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('x').parse::<f64>().ok();
    number
        .filter(|speed| speed.is_finite() && *speed > 0.0)
        .ok_or_else(|| format!("`{text}` is not a speed; write `1x` or `10x`"))
}

impl Replay {
    pub fn run(self, session: &Session, _out: &mut dyn Write) -> Done {
        let records = Records::open(&self.file, self.skip, self.skip_broken)?;
        let mut outflow = Outflow::open(session)?;
        if let Some(queue) = &self.to_queue {
            outflow.expect_queue(queue)?;
        }
        if let Some(exchange) = &self.exchange {
            outflow.expect_exchange(exchange)?;
        }
        let plan = Plan { rate: self.rate, limit: self.limit.unwrap_or(u64::MAX), total: self.limit, skipped: self.skip };
        let mut spring =
            Again { replay: &self, records, user: outflow.user(), users_dropped: 0, score: Score::default(), held: None };
        let done = pour(session, &mut outflow, &mut spring, &plan, "published");
        if spring.users_dropped > 0 {
            let dropped = count(spring.users_dropped, "message");
            note(&format!("{dropped} went without the user id: the broker takes only that of the connection"));
        }
        done
    }

    fn address(&self, mut publication: Publication) -> Publication {
        if let Some(queue) = &self.to_queue {
            publication = publication.to("", queue);
            set_copies_aside(&mut publication);
        }
        if let Some(exchange) = &self.exchange {
            publication.exchange.clone_from(exchange);
        }
        if let Some(routing_key) = &self.routing_key {
            publication.routing_key.clone_from(routing_key);
        }
        publication
    }
}

/// Sender-selected distribution would send copies elsewhere (<https://www.rabbitmq.com/docs/sender-selected>).
pub(crate) fn set_copies_aside(publication: &mut Publication) {
    let Some(table) = &mut publication.properties.headers else { return };
    for (name, aside) in [("CC", "x-bootstep-cc"), ("BCC", "x-bootstep-bcc")] {
        if let Some(value) = table.remove(name) {
            table.entry(aside.into()).or_insert(value);
        }
    }
}

/// The broker refuses a user id that is not ours: it is kept in a header.
pub(crate) fn set_user_aside(publication: &mut Publication, ours: Option<&str>) {
    if let Some(user) = publication.properties.user_id.take_if(|user| Some(user.as_str()) != ours) {
        let table = publication.properties.headers.get_or_insert_default();
        table.entry(headers::USER_ID.into()).or_insert(Value::Text(user));
    }
}

/// When the first was recorded and when it went.
#[derive(Default)]
struct Score {
    began: Option<(SystemTime, Instant)>,
}

impl Score {
    /// How long to wait for a record's turn.
    fn rest(&mut self, recorded_at: Option<SystemTime>, speed: Option<f64>) -> Duration {
        let (Some(at), Some(speed)) = (recorded_at, speed) else { return Duration::ZERO };
        let (first, began) = *self.began.get_or_insert((at, Instant::now()));
        let after = at.duration_since(first).unwrap_or_default().as_secs_f64() / speed;
        Duration::try_from_secs_f64(after).unwrap_or(Duration::MAX).saturating_sub(began.elapsed())
    }
}

struct Again<'a> {
    replay: &'a Replay,
    records: Records,
    user: Option<String>,
    users_dropped: u64,
    score: Score,
    /// Read, and not yet due.
    held: Option<Record>,
}

impl Spring for Again<'_> {
    fn next(&mut self, within: Duration) -> Result<Next<Piece>, Failure> {
        let record = match self.held.take() {
            Some(record) => record,
            None => match self.records.next(within)? {
                Next::One(record) => record,
                Next::Later => return Ok(Next::Later),
                Next::End => return Ok(Next::End),
            },
        };
        let rest = self.score.rest(record.recorded_at, self.replay.speed);
        if !rest.is_zero() {
            self.held = Some(record);
            if !within.is_zero() {
                super::pace::pause(rest.min(within));
            }
            return Ok(Next::Later);
        }
        let mut publication = self.replay.address(record.publication);
        let ours = self.user.as_deref();
        if publication.properties.user_id.take_if(|user| Some(user.as_str()) != ours).is_some() {
            self.users_dropped += 1;
        }
        Ok(Next::One(Piece { at: record.at, publication }))
    }

    fn unit(&self) -> &'static str {
        "line"
    }

    fn left_out(&self) -> u64 {
        self.records.broken()
    }
}
