//! A stream of messages on its way to the broker: in batches, at a pace, until it ends, one is not taken, or somebody has enough.

use super::failure::{Done, Failure};
use super::lines::Next;
use super::note::{count, note};
use super::outflow::{Outflow, Sent, BATCH, BATCH_BYTES};
use super::pace::{Pace, Rate};
use super::session::Session;
use crate::broker::Receipt;
use crate::message::Publication;
use std::time::Duration;

/// How long the stream may stall before the wish to stop is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Refusals that are told one by one.
const TOLD: usize = 10;

/// One message, and where it stands in what it was read from: a line's number, or which of all it is.
pub(crate) struct Piece {
    pub at: u64,
    pub publication: Publication,
}

/// Where the messages come from.
pub(crate) trait Spring {
    /// The next one; `within` is how long to wait for it.
    fn next(&mut self, within: Duration) -> Result<Next<Piece>, Failure>;
    /// What [`Piece::at`] counts: `line` or `message`.
    fn unit(&self) -> &'static str;
    /// How many lines were no messages, and were passed because that was wanted.
    fn left_out(&self) -> u64 {
        0
    }
}

/// How the stream is poured.
pub(crate) struct Plan {
    pub rate: Option<Rate>,
    /// How many are taken from the spring at the most.
    pub limit: u64,
    /// How many there will be, if that is known.
    pub total: Option<u64>,
    /// How many are left out at the beginning; to say where to go on.
    pub skipped: u64,
}

#[derive(Default)]
struct Tally {
    taken: u64,
    /// By their place, with the reason.
    refused: Vec<(u64, String)>,
    /// Everything up to there has its answer.
    through: u64,
    /// Behind that, some were confirmed or may have been.
    may_be_there: u64,
}

/// Publishes what the spring gives, and says how far that went; `deed` is what has been done to them in the end, such as `published`.
pub(crate) fn pour(session: &Session, outflow: &mut Outflow, spring: &mut dyn Spring, plan: &Plan, deed: &str) -> Done {
    let progress = session.progress(plan.total, deed);
    let mut tally = Tally { through: plan.skipped, ..Tally::default() };
    let mut pouring = Pouring { session, spring, pace: Pace::of(plan.rate), left: plan.limit, held: None, failure: None };
    while let Some(batch) = pouring.batch() {
        let (places, publications): (Vec<u64>, Vec<Publication>) = batch.into_iter().map(|it| (it.at, it.publication)).unzip();
        let Sent { receipts, failure } = outflow.send(&publications);
        tally.add(&places, &receipts);
        progress.add(receipts.iter().filter(|receipt| **receipt == Receipt::Taken).count() as u64);
        pouring.failure = pouring.failure.take().or(failure);
        if !tally.refused.is_empty() {
            break;
        }
    }
    progress.finish();
    let (unit, left_out) = (pouring.spring.unit(), pouring.spring.left_out());
    tally.end(pouring.failure, unit, deed)?;
    match left_out {
        0 => Ok(()),
        lines => Err(Failure::incomplete(format!("{} left out", count(lines, "broken line")))),
    }
}

struct Pouring<'a> {
    session: &'a Session,
    spring: &'a mut dyn Spring,
    pace: Pace,
    left: u64,
    /// One that had no room in the last batch.
    held: Option<Piece>,
    failure: Option<Failure>,
}

impl Pouring<'_> {
    /// The next messages that go together; `None` if there are no more, or it should end.
    fn batch(&mut self) -> Option<Vec<Piece>> {
        let most = self.pace.batch(BATCH).min(usize::try_from(self.left).unwrap_or(BATCH));
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < most && self.failure.is_none() {
            let within = if batch.is_empty() { TICK } else { Duration::ZERO };
            let next = self.held.take().map_or_else(|| self.spring.next(within), |held| Ok(Next::One(held)));
            match next {
                Ok(Next::One(piece)) if !batch.is_empty() && bytes + piece.publication.body().len() > BATCH_BYTES => {
                    self.held = Some(piece);
                    break;
                }
                Ok(Next::One(piece)) => {
                    bytes += piece.publication.body().len();
                    batch.push(piece);
                }
                Ok(Next::Later) if !batch.is_empty() => break,
                Ok(Next::Later) => {}
                Ok(Next::End) => break,
                // What was read before it is published first.
                Err(failure) => self.failure = Some(failure),
            }
            if self.session.interrupt().is_asked() {
                self.failure.get_or_insert_with(|| Failure::incomplete("interrupted"));
            }
        }
        if !self.pace.wait(batch.len(), self.session.interrupt()) {
            self.failure.get_or_insert_with(|| Failure::incomplete("interrupted"));
            return None;
        }
        self.left -= batch.len() as u64;
        (!batch.is_empty()).then_some(batch)
    }
}

impl Tally {
    fn add(&mut self, places: &[u64], receipts: &[Receipt]) {
        let is_refused = |receipt: &Receipt| matches!(receipt, Receipt::Returned(_) | Receipt::Nacked | Receipt::Unfit(_));
        // A full queue refuses all that follow: there it is gone on. One that goes nowhere is passed.
        let is_done = |receipt: &Receipt| *receipt == Receipt::Taken || is_refused(receipt);
        let gapless = receipts.iter().take_while(|receipt| is_done(receipt)).count();
        let through = receipts[..gapless].iter().rposition(|receipt| *receipt == Receipt::Taken).map_or(0, |last| last + 1);
        if through > 0 {
            self.through = places[through - 1];
        }
        for (place, (at, receipt)) in places.iter().zip(receipts).enumerate() {
            match receipt {
                Receipt::Unsent => {}
                Receipt::Unknown => self.may_be_there += 1,
                Receipt::Taken => {
                    self.taken += 1;
                    self.may_be_there += u64::from(place >= through);
                }
                refused => self.refused.push((*at, refused.to_string())),
            }
        }
    }

    fn end(self, failure: Option<Failure>, unit: &str, deed: &str) -> Done {
        for (at, why) in self.refused.iter().take(TOLD) {
            note(&format!("{unit} {at} was not taken: {why}"));
        }
        if let Some(rest) = self.refused.get(TOLD..).filter(|rest| !rest.is_empty()) {
            note(&format!("not taken either: {unit}s {}", ranges(rest.iter().map(|(at, _)| *at))));
        }
        let mut what = format!("{deed} {}", count(self.taken, "message"));
        if failure.is_none() && self.refused.is_empty() {
            note(&what);
            return Ok(());
        }
        what += &match self.refused.len() {
            0 => String::new(),
            1 => ", and one was not taken".into(),
            number => format!(", and {number} were not taken"),
        };
        what += &match self.through {
            0 => String::new(),
            through => format!(", up to {unit} {through}: `--skip {through}` goes on behind it"),
        };
        if self.may_be_there > 0 {
            what += &format!(" ({} behind it may be there already)", count(self.may_be_there, "message"));
        }
        let Failure { code, what: why } = failure.unwrap_or_else(|| Failure::incomplete(""));
        let why = if why.is_empty() { why } else { format!("{why}; ") };
        Err(Failure { code, what: format!("{why}{what}") })
    }
}

/// Numbers as a person writes them: `3, 9-12, 40`.
fn ranges(numbers: impl Iterator<Item = u64>) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let words =
        ranges.into_iter().map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(receipts: &[Receipt], taken: u64, through: u64, may_be_there: u64) {
        let places: Vec<u64> = (11..).take(receipts.len()).collect();
        let mut tally = Tally { through: 10, ..Tally::default() };
        tally.add(&places, receipts);
        assert_eq!((tally.taken, tally.through, tally.may_be_there), (taken, through, may_be_there), "{receipts:?}");
    }

    #[test]
    fn where_to_go_on_is_behind_what_was_taken_and_before_what_was_not() {
        use Receipt::{Nacked, Taken, Unknown, Unsent};
        check(&[Taken, Taken], 2, 12, 0);
        check(&[Taken, Nacked, Nacked], 1, 11, 0);
        check(&[Taken, Receipt::Returned("nowhere".into()), Taken], 2, 13, 0);
        check(&[Taken, Unknown, Taken, Unsent], 2, 11, 2);
        check(&[Unsent, Unsent], 0, 10, 0);
        check(&[Nacked, Nacked], 0, 10, 0);
    }

    #[test]
    fn many_numbers_are_told_as_ranges() {
        assert_eq!(ranges([3, 9, 10, 11, 12, 40].into_iter()), "3, 9-12, 40");
    }
}
