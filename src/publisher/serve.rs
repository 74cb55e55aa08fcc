//! One publishing channel's life: fill the window, read confirms, and find the one message that a broker closes the channel for.

use super::{Order, Request};
use crate::broker::Connection;
use crate::error::{words_of, Error, Fault};
use crate::topology::Exchange;
use crate::transport::{Outlet, PublishVisit, Taken};
use crossbeam_channel::{select, Receiver};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Published and not yet confirmed at the same time.
const WINDOW: usize = 256;

/// Bytes of bodies on their way, so that amiquip's write buffer (16 MiB) never fills and blocks us during an alarm.
const WINDOW_BYTES: usize = 4 << 20;

/// A confirm that takes longer means that the connection is no good (an alarm excepted).
const CONFIRM_LIMIT: Duration = Duration::from_secs(30);

/// A message that was open at so many losses of the channel or connection may be what loses them: from then on it goes alone.
const SUSPICIOUS: u32 = 3;

/// How often alarms and overdue confirms are looked at.
const TICK: Duration = Duration::from_millis(500);

/// What is kept from one channel to the next.
#[derive(Default)]
pub(super) struct State {
    /// Published over a channel that is gone, and not confirmed: first in line, in their order.
    again: VecDeque<Request>,
    open: BTreeMap<u64, (Request, Instant)>,
    open_bytes: usize,
    /// Exchanges that were there when they were first published to over this connection.
    known: HashSet<String>,
    /// How many are published one by one, because one of them made the broker close the channel.
    cautious: usize,
    /// By when the thread is to end, once it was told to.
    ending: Option<Instant>,
}

pub(super) enum Ended {
    Ordered(Order),
    ChannelClosed,
    Lost(Error),
    /// Every handle is gone, and so is everything to publish.
    Abandoned,
}

impl State {
    pub fn serve(&mut self, connection: &Connection, requests: &Receiver<Request>, orders: &Receiver<Order>) -> Ended {
        self.known.clear();
        let served = || connection.visit_outlet(Serve { state: self, connection, requests, orders });
        // Without this thread nothing would be published any more, and nobody told.
        let ended = match catch_unwind(AssertUnwindSafe(served)) {
            Ok(ended) => ended.unwrap_or_else(Ended::Lost),
            Err(panic) => {
                log::error!("publishing panicked, and begins anew on another connection: {}", words_of(&*panic));
                Ended::Lost(Error::new(Fault::Lost, "publishing panicked"))
            }
        };
        let open = std::mem::take(&mut self.open);
        self.open_bytes = 0;
        let alone = open.len() == 1;
        for (mut request, _) in open.into_values().rev() {
            request.losses += u32::from(matches!(ended, Ended::Lost(_)));
            self.again.push_front(request);
        }
        match ended {
            Ended::Lost(err) if self.again.front().is_some_and(|first| first.losses >= SUSPICIOUS) => {
                self.find_culprit(alone, &err);
                Ended::Lost(err)
            }
            Ended::Lost(err) if !matches!(err.fault(), Fault::Lost | Fault::Timeout) => {
                self.find_culprit(alone, &err);
                Ended::ChannelClosed
            }
            other => other,
        }
    }

    /// A broker closes the channel for one message (no such exchange, a user id that is not ours) and does not say which.
    fn find_culprit(&mut self, alone: bool, err: &Error) {
        if !alone {
            self.cautious = self.again.len();
        } else if let Some(culprit) = self.again.pop_front() {
            culprit.answer(Taken::Unfit { reason: err.to_string() });
        }
    }

    /// Whether the thread was told to end.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    fn next(&mut self, requests: &Receiver<Request>) -> Option<Request> {
        loop {
            let request = self.again.pop_front().or_else(|| requests.try_recv().ok())?;
            if request.wanted.load(Ordering::Acquire) {
                return Some(request);
            }
        }
    }

    /// Whether the exchange is there; asked once, because a publish to a missing one closes the channel, and everything that is
    /// not yet confirmed on it has to be published again.
    fn knows(&mut self, exchange: &str, connection: &Connection) -> Result<(), Error> {
        if exchange.is_empty() || self.known.contains(exchange) {
            return Ok(());
        }
        connection.declare_exchange(&Exchange::existing(exchange))?;
        self.known.insert(exchange.to_owned());
        Ok(())
    }

    fn has_room(&self) -> bool {
        // One message is always let through, however large.
        let window = if self.cautious > 0 { 1 } else { WINDOW };
        self.open.is_empty() || (self.open.len() < window && self.open_bytes < WINDOW_BYTES)
    }
}

struct Serve<'a> {
    state: &'a mut State,
    connection: &'a Connection,
    requests: &'a Receiver<Request>,
    orders: &'a Receiver<Order>,
}

impl PublishVisit for Serve<'_> {
    type Output = Ended;

    fn visit<O: Outlet>(self, outlet: &mut O) -> Ended {
        let Serve { state, connection, requests, orders } = self;
        let mut taken = Vec::new();
        let mut alarm: Option<String> = None;
        let never = crossbeam_channel::never();
        loop {
            while let Ok(raw) = outlet.receiver().try_recv() {
                outlet.read(raw, &mut taken);
            }
            settle(state, &mut taken);
            if note_alarm(&mut alarm, outlet.blocked()) {
                // The broker did not read from us for so long: only from now on is a missing confirm a sign of anything.
                state.open.values_mut().for_each(|(_, since)| *since = Instant::now());
            }
            // In an alarm the broker reads nothing from us: what we sent would only fill buffers.
            if alarm.is_none() {
                if let Err(err) = fill(state, connection, requests, outlet) {
                    return Ended::Lost(err);
                }
            }
            let idle = state.open.is_empty();
            match state.ending {
                Some(due) if idle || Instant::now() >= due => return Ended::Ordered(Order::End { due }),
                _ if alarm.is_none() && is_overdue(state) => {
                    return Ended::Lost(Error::new(Fault::Timeout, "a publish was not confirmed in time"));
                }
                _ => {}
            }
            // With a full window nothing more is taken in: then the request channel fills, and its senders wait.
            let inbox = if state.has_room() && alarm.is_none() { requests } else { &never };
            select! {
                recv(outlet.receiver()) -> raw => match raw {
                    Ok(raw) => outlet.read(raw, &mut taken),
                    Err(_) => return Ended::Lost(outlet.failure()),
                },
                recv(inbox) -> request => match request {
                    Ok(request) => state.again.push_back(request),
                    Err(_) if idle => return Ended::Abandoned,
                    Err(_) => {}
                },
                recv(orders) -> order => match order {
                    Ok(Order::End { due }) => state.ending = Some(due),
                    Ok(order) => return Ended::Ordered(order),
                    Err(_) if idle => return Ended::Abandoned,
                    Err(_) => {}
                },
                default(TICK) => {}
            }
        }
    }
}

fn fill<O: Outlet>(
    state: &mut State,
    connection: &Connection,
    requests: &Receiver<Request>,
    outlet: &mut O,
) -> Result<(), Error> {
    while state.has_room() {
        let Some(request) = state.next(requests) else { break };
        match state.knows(&request.publication.exchange, connection) {
            Ok(()) => {}
            Err(err) if err.is_transient() => {
                state.again.push_front(request);
                return Err(err);
            }
            Err(err) => {
                request.answer(Taken::Unfit { reason: err.to_string() });
                continue;
            }
        }
        match outlet.publish(&request.publication) {
            // Not sent, because no broker could read it: the asker hears why.
            Err(err) if err.fault() == Fault::NotTaken => request.answer(Taken::Unfit { reason: err.to_string() }),
            Ok(sequence) => {
                state.open_bytes += request.publication.body().len();
                state.open.insert(sequence, (request, Instant::now()));
            }
            Err(err) => {
                // It may be on the wire or not: it is published again, and the channel's end tells what was wrong.
                state.again.push_front(request);
                let cause = outlet.failure();
                return Err(if matches!(cause.fault(), Fault::Lost) { err } else { cause });
            }
        }
    }
    Ok(())
}

fn settle(state: &mut State, taken: &mut Vec<(u64, Taken)>) {
    for (sequence, answer) in taken.drain(..) {
        state.cautious = state.cautious.saturating_sub(1);
        if let Some((request, _)) = state.open.remove(&sequence) {
            state.open_bytes -= request.publication.body().len();
            request.answer(answer);
        }
    }
}

fn is_overdue(state: &State) -> bool {
    state.open.first_key_value().is_some_and(|(_, (_, since))| since.elapsed() > CONFIRM_LIMIT)
}

/// Whether an alarm has just ended.
fn note_alarm(known: &mut Option<String>, now: Option<String>) -> bool {
    let ended = known.is_some() && now.is_none();
    match (&known, &now) {
        (None, Some(reason)) => {
            log::warn!("the broker takes no publishes ({reason}): free its memory or disk; what is to be published waits")
        }
        (Some(_), None) => log::info!("the broker takes publishes again"),
        _ => {}
    }
    *known = now;
    ended
}
