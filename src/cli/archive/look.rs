//! What `list`, `show` and `group` have in common: they walk through a queue, take nothing, and say how far they came.

use super::filter::{Filter, Matcher};
use super::past::Past;
use super::walk::{Go, Walk};
use super::which::{Found, Which};
use crate::cli::failure::{Done, Failure};
use crate::cli::session::Session;
use crate::delivered::Message;
use crate::message_json;
use serde_json::{json, Value as Json};
use std::io::{self, BufWriter, Write};

/// What is looked at, and the filters that are met.
pub(super) struct Look<'a> {
    pub session: &'a Session,
    pub which: &'a Which,
    pub matcher: Matcher,
    pub found: Found,
    connection: crate::broker::Connection,
    at_most: u64,
}

/// A message that is meant.
pub(super) struct Seen<'m> {
    /// Its place in the queue, from 1.
    pub number: u64,
    pub message: &'m Message,
    pub past: Past<'m>,
}

/// Where it is written what was seen.
pub(super) type Page<'o> = BufWriter<&'o mut dyn Write>;

impl<'a> Look<'a> {
    /// This finds the queue, and asks before a look that costs something.
    pub fn begin(session: &'a Session, which: &'a Which, filter: &Filter) -> Result<Self, Failure> {
        let matcher = filter.prepare()?;
        let connection = session.connect()?;
        let found = which.find(&connection)?;
        found.agree(session, which)?;
        let at_most = if matcher.is_empty() { filter.limit().unwrap_or(u64::MAX) } else { u64::MAX };
        Ok(Look { session, which, matcher, found, connection, at_most })
    }

    /// No further than to this place.
    pub fn up_to(mut self, number: u64) -> Self {
        self.at_most = self.at_most.min(number);
        self
    }

    /// Visits those that are meant, and answers how many those were.
    pub fn each(
        &self,
        out: &mut dyn Write,
        mut visit: impl FnMut(Seen<'_>, &mut Page<'_>) -> Result<Go, Failure>,
    ) -> Result<u64, Failure> {
        let (mut meant, mut without_age) = (0, 0_u64);
        // By the batch, so that a person sees them at once and a million lines are not a million writes.
        let mut page = BufWriter::with_capacity(64 * 1024, out);
        let walk = Walk::new(self.session, &self.connection, &self.found).at_most(self.at_most);
        let walked = walk.run(&mut |batch| {
            let mut go = Go::On;
            for (number, letter) in (batch.first()..).zip(batch.letters()) {
                let message = &letter.message;
                without_age += u64::from(self.matcher.is_without_age(message));
                if self.matcher.matches(message) {
                    meant += 1;
                    go = visit(Seen { number, message, past: Past::of(message) }, &mut page)?;
                }
                if go == Go::Enough {
                    break;
                }
            }
            page.flush()?;
            Ok(go)
        });
        // Whoever closed the pipe has closed it for the rest as well.
        let (_, _) = page.into_parts();
        let walked = walked?;
        if without_age > 0 {
            self.note(&format!(
                "{without_age} messages say neither when they failed nor when they were made, and were left out"
            ))?;
        }
        match walked.was_interrupted {
            false => Ok(meant),
            true => Err(Failure::incomplete(format!(
                "interrupted after {} of {} messages; all of them are back on `{}`",
                walked.seen, self.found.messages, self.found.name
            ))),
        }
    }

    /// Tells the person something that is not part of the answer.
    pub fn note(&self, what: &str) -> Done {
        Ok(writeln!(io::stderr(), "{what}")?)
    }

    pub fn age(&self, seen: &Seen<'_>) -> Option<u64> {
        seen.past.age(self.matcher.now())
    }
}

impl Seen<'_> {
    /// The message for a program, with what is known of its failure.
    pub fn json(&self, with_body: bool) -> Json {
        let mut json = message_json::message(self.message);
        if let (false, Some(object)) = (with_body, json.as_object_mut()) {
            object.retain(|name, _| name != "body" && name != "body_base64");
        }
        let past = &self.past;
        json["number"] = json!(self.number);
        json["size"] = json!(self.message.body().len());
        json["exchange"] = json!(past.exchange);
        json["routing_key"] = json!(past.routing_key);
        json["failure"] = json!({
            "reason": past.reason,
            "fingerprint": past.fingerprint().id,
            "queue": past.queue,
            "first_failed": past.first_failed,
            "attempts": past.attempts,
            "deliveries": past.deliveries,
            "by_broker": past.is_by_broker,
        });
        json
    }
}
