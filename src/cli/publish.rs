//! `publish`: messages from the command line or from a file, each of them confirmed.

use super::failure::{Done, Failure};
use super::lines::{self, Lines, Next};
use super::outflow::Outflow;
use super::pace::Rate;
use super::pour::{pour, Piece, Plan, Spring};
use super::records;
use super::session::Session;
use super::typed;
use crate::message::{Properties, Publication, Value};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Publishes messages, and waits until the broker has confirmed each
///
/// A message that no queue takes is an error. What is published survives a restart of the broker (unless `--transient`).
#[derive(clap::Args)]
#[command(
    after_help = "\
Examples:
  bootstep publish --queue orders '{\"id\": 1}' '{\"id\": 2}'
  bootstep publish --exchange shop --routing-key order.paid --body-file order.json
  bootstep publish --queue orders --header urgent:=true --property message_id=o-7 'two cups'
  bootstep publish --queue orders --lines orders.txt --rate 500/s
  zcat old.jsonl.gz | bootstep publish --queue orders --json-lines -",
    group(clap::ArgGroup::new("whereto").required(true).args(["queue", "exchange"])),
    group(clap::ArgGroup::new("what").required(true).args(["bodies", "body_file", "lines", "json_lines"]))
)]
pub(crate) struct Publish {
    /// The bodies, one message for each
    #[arg(value_name = "BODY")]
    bodies: Vec<String>,
    /// Straight to this queue, which must exist
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// To this exchange, which must exist
    #[arg(long, value_name = "EXCHANGE")]
    exchange: Option<String>,
    /// With this routing key [default: empty]
    #[arg(long, value_name = "KEY", requires = "exchange", conflicts_with = "queue")]
    routing_key: Option<String>,
    /// The body is all that this file has; `-` is standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Each line of this file is a body; empty lines are none; `-` is standard input
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// Each line of this file is a record, as `record` and `archive export` write it: its properties and its body
    #[arg(long, value_name = "FILE")]
    json_lines: Option<PathBuf>,
    #[command(flatten)]
    dress: Dress,
    /// Publishes everything so many times; not what comes by `--lines` or `--json-lines`
    #[arg(long, value_name = "TIMES", default_value_t = 1, conflicts_with_all = ["lines", "json_lines"])]
    repeat: u64,
    /// At the most so many in a second (`500/s`), a minute or an hour [default: as fast as the broker confirms]
    #[arg(long, value_parser = Rate::parse)]
    rate: Option<Rate>,
    /// Leaves out what was published before: so many lines or messages from the beginning
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    skip: u64,
    /// Goes on behind lines that are no records
    #[arg(long, requires = "json_lines")]
    skip_broken: bool,
}

/// What every message has beside its body.
#[derive(clap::Args)]
struct Dress {
    /// A header: `name=text`, or `name:=5`, `name:=true` for what is no text; may be given again
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = typed::header)]
    headers: Vec<(String, Value)>,
    /// A property by its name in AMQP, such as message_id=7 or priority=5; may be given again
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = typed::property)]
    properties: Vec<typed::Property>,
    /// The media type of the body, such as application/json
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The broker may lose it when it restarts
    #[arg(long)]
    transient: bool,
    /// How long it may wait on a queue, such as 30s
    #[arg(long, value_name = "TIME", value_parser = crate::duration::parse)]
    expiration: Option<Duration>,
}

impl Dress {
    /// The properties with what was asked for put over them.
    fn put_on(&self, properties: &mut Properties) {
        for (name, value) in &self.headers {
            properties.headers.get_or_insert_default().insert(name.clone(), value.clone());
        }
        for property in &self.properties {
            property.set(properties);
        }
        if let Some(content_type) = &self.content_type {
            properties.content_type = Some(content_type.clone());
        }
        if let Some(expiration) = self.expiration {
            properties.expiration = Some(expiration.as_millis().to_string());
        }
        if self.transient {
            properties.delivery_mode = Some(1);
        }
    }
}

impl Publish {
    pub fn run(self, session: &Session, _out: &mut dyn Write) -> Done {
        let (exchange, routing_key) = match (&self.queue, &self.exchange) {
            (Some(queue), _) => (String::new(), queue.clone()),
            (None, exchange) => (exchange.clone().unwrap_or_default(), self.routing_key.clone().unwrap_or_default()),
        };
        let to = Target { exchange, routing_key, dress: &self.dress };
        let (mut spring, total) = self.spring(to)?;
        let mut outflow = Outflow::open(session)?;
        match (&self.queue, &self.exchange) {
            (Some(queue), _) => outflow.expect_queue(queue)?,
            (None, exchange) => outflow.expect_exchange(exchange.as_deref().unwrap_or_default())?,
        }
        let plan = Plan { rate: self.rate, limit: u64::MAX, total, skipped: self.skip };
        pour(session, &mut outflow, spring.as_mut(), &plan, "published")
    }

    fn spring<'a>(&'a self, to: Target<'a>) -> Result<(Box<dyn Spring + 'a>, Option<u64>), Failure> {
        if let Some(path) = &self.lines {
            return Ok((Box::new(OfLines { lines: Lines::open(path)?, to, skip: self.skip }), None));
        }
        if let Some(path) = &self.json_lines {
            return Ok((Box::new(OfRecords { records: records::Records::open(path, self.skip, self.skip_broken)?, to }), None));
        }
        let bodies = match &self.body_file {
            Some(path) => vec![whole(path)?],
            None => self.bodies.iter().map(|body| body.clone().into_bytes()).collect(),
        };
        let all = (bodies.len() as u64).saturating_mul(self.repeat);
        let total = all.saturating_sub(self.skip);
        let publications = bodies.into_iter().map(|body| to.message(body)).collect();
        Ok((Box::new(Given { publications, next: self.skip, all }), Some(total)))
    }
}

/// All that a file has, or standard input.
fn whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().read_to_end(&mut bytes),
        _ => lines::open(path)?.read_to_end(&mut bytes),
    };
    read.map_err(|err| Failure::usage(format!("`{}` could not be read: {err}", path.display())))?;
    Ok(bytes)
}

struct Target<'a> {
    exchange: String,
    routing_key: String,
    dress: &'a Dress,
}

impl Target<'_> {
    fn message(&self, body: Vec<u8>) -> Publication {
        self.address(Publication::new("", "", body))
    }

    fn address(&self, publication: Publication) -> Publication {
        let mut publication = publication.to(&*self.exchange, &*self.routing_key).mandatory();
        self.dress.put_on(&mut publication.properties);
        publication
    }
}

/// The bodies of the command line, over and over.
struct Given {
    publications: Vec<Publication>,
    next: u64,
    all: u64,
}

impl Spring for Given {
    fn next(&mut self, _within: Duration) -> Result<Next<Piece>, Failure> {
        if self.next >= self.all {
            return Ok(Next::End);
        }
        let publication = self.publications[(self.next % self.publications.len() as u64) as usize].clone();
        self.next += 1;
        Ok(Next::One(Piece { at: self.next, publication }))
    }

    fn unit(&self) -> &'static str {
        "message"
    }
}

struct OfLines<'a> {
    lines: Lines,
    to: Target<'a>,
    skip: u64,
}

impl Spring for OfLines<'_> {
    fn next(&mut self, within: Duration) -> Result<Next<Piece>, Failure> {
        loop {
            let mut line = match self.lines.next(within)? {
                Next::One(line) => line,
                Next::Later => return Ok(Next::Later),
                Next::End => return Ok(Next::End),
            };
            if line.bytes.last() == Some(&b'\r') {
                line.bytes.pop();
            }
            if line.number > self.skip && !line.bytes.is_empty() {
                return Ok(Next::One(Piece { at: line.number, publication: self.to.message(line.bytes) }));
            }
        }
    }

    fn unit(&self) -> &'static str {
        "line"
    }
}

struct OfRecords<'a> {
    records: records::Records,
    to: Target<'a>,
}

impl Spring for OfRecords<'_> {
    fn next(&mut self, within: Duration) -> Result<Next<Piece>, Failure> {
        Ok(match self.records.next(within)? {
            Next::One(record) => Next::One(Piece { at: record.at, publication: self.to.address(record.publication) }),
            Next::Later => Next::Later,
            Next::End => Next::End,
        })
    }

    fn unit(&self) -> &'static str {
        "line"
    }

    fn left_out(&self) -> u64 {
        self.records.broken()
    }
}
