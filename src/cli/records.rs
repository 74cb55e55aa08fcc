//! Messages in a file, one record a line: as they are written, and as they are read back.

use super::failure::Failure;
use super::lines::{Line, Lines, Next};
use super::note::note;
use crate::delivered::{headers, Message};
use crate::message::Publication;
use crate::message_json;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A message for a file, exactly, and when it was written there.
///
/// Without the id by which a publishing connection knows a returned message: it says nothing of the message, and comes anew.
pub(crate) fn written(message: &Message) -> Json {
    let mut json = message_json::record(message);
    if let Some(table) = json.pointer_mut("/properties/headers").and_then(Json::as_object_mut) {
        table.remove(headers::PUBLISH_ID);
    }
    json["recorded_at"] = Json::String(now().to_string());
    json
}

/// To the millisecond.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// One line of a file of records.
pub(crate) struct Record {
    /// The line's number.
    pub at: u64,
    pub publication: Publication,
    /// The queue that it was taken from.
    pub queue: Option<String>,
    pub recorded_at: Option<SystemTime>,
}

/// The records of a file, in their order.
pub(crate) struct Records {
    lines: Lines,
    skip: u64,
    skips_broken: bool,
    broken: u64,
}

impl Records {
    /// Those of a file, or of standard input if it is `-`, from the line behind `skip`.
    pub fn open(path: &Path, skip: u64, skips_broken: bool) -> Result<Self, Failure> {
        Ok(Records { lines: Lines::open(path)?, skip, skips_broken, broken: 0 })
    }

    /// How many lines were no records, and left out.
    pub fn broken(&self) -> u64 {
        self.broken
    }

    pub fn next(&mut self, within: Duration) -> Result<Next<Record>, Failure> {
        loop {
            let line = match self.lines.next(within)? {
                Next::One(line) => line,
                Next::Later => return Ok(Next::Later),
                Next::End => return Ok(Next::End),
            };
            if line.number <= self.skip || line.bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match read(&line) {
                Ok(record) => return Ok(Next::One(record)),
                Err(why) => self.leave_out(&line, &why)?,
            }
        }
    }

    fn leave_out(&mut self, line: &Line, why: &str) -> Result<(), Failure> {
        let (name, number) = (self.lines.name(), line.number);
        if !line.is_whole {
            note(&format!("line {number} of {name} is left out: it ends in the middle, as when its writer is killed ({why})"));
            return Ok(());
        }
        if !self.skips_broken {
            let what =
                format!("line {number} of {name} is no record: {why}; mend it, or leave such lines out with `--skip-broken`");
            return Err(Failure::usage(what));
        }
        note(&format!("line {number} of {name} is left out: {why}"));
        self.broken += 1;
        Ok(())
    }
}

fn read(line: &Line) -> Result<Record, String> {
    let json: Json = serde_json::from_slice(&line.bytes).map_err(|err| format!("it is not JSON ({err})"))?;
    let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
    let recorded_at = text("recorded_at").and_then(|text| text.parse::<Timestamp>().ok()).map(SystemTime::from);
    let queue = text("queue");
    let mut publication = message_json::publication_from(json)?.mandatory();
    if let Some(table) = &mut publication.properties.headers {
        table.remove(headers::PUBLISH_ID);
    }
    Ok(Record { at: line.number, publication, queue, recorded_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut publication = Publication::new("shop", "order.paid", b"\xff".to_vec()).mandatory();
        publication.properties = publication.properties.header("n", 7);
        let mut came = publication.clone();
        came.properties = came.properties.header(headers::PUBLISH_ID, 4);
        let text = written(&Message::from_publication(came)).to_string();
        let record = read(&Line { number: 3, bytes: text.into_bytes(), is_whole: true }).unwrap();
        assert_eq!((record.at, record.queue.as_deref(), record.publication), (3, Some("order.paid"), publication));
        let since = SystemTime::now().duration_since(record.recorded_at.unwrap()).unwrap();
        assert!(since < Duration::from_secs(5), "{since:?}");
    }
}
