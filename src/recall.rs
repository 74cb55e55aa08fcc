//! A memory of recently moved messages: when a connection is lost before the ack arrives, the broker delivers one again whose copy
//! waits for its retry already, or lies in the archive; a second run would make two messages of one.
//!
//! A message is known by its queue and by all that was published of it, its body included. Those that differ in nothing are
//! counted: as many are left out as were moved and will come again, never one more.

use crate::clock::{later, Clock};
use crate::message::{Delivery, Parts, Table, Value};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many moved messages are remembered, unless told otherwise.
pub(crate) const MOST: usize = 10_000;

/// How long one is remembered whose ack was never sent: long enough for a broker to come back.
const UNACKED_FOR: Duration = Duration::from_secs(15 * 60);

/// How long one is remembered whose ack was sent and may have been lost: longer than a silent connection goes unnoticed.
const ACKED_FOR: Duration = Duration::from_secs(60);

/// What the broker adds and changes from delivery to delivery.
const BY_BROKER: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// What has been moved lately, shared by all intakes of a worker.
#[derive(Clone)]
pub(crate) struct Recall(Arc<Shared>);

struct Shared {
    most: usize,
    clock: Clock,
    keys: [RandomState; 2],
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    moves: HashMap<u128, Moves>,
    /// The confirmed ones, by when they are forgotten at the latest; some may be gone already.
    order: VecDeque<(Instant, u128, u64)>,
    last_serial: u64,
}

/// Of messages that differ in nothing, those that came or will come again.
#[derive(Default)]
struct Moves {
    on_their_way: u32,
    /// Safe elsewhere, each by a serial number, and by when it is forgotten.
    confirmed: Vec<(u64, Instant)>,
}

/// A message that came again.
pub(crate) struct Returned {
    pub delivery: Delivery,
    /// What it is known by; whoever waits asks often, and a body may be large.
    key: Option<u128>,
}

impl From<Delivery> for Returned {
    fn from(delivery: Delivery) -> Self {
        Returned { delivery, key: None }
    }
}

/// What is known of a message that came again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    Nothing,
    /// Its copy is being published: what becomes of that decides.
    OnItsWay,
    /// Its copy is safe, and this memory of it used up.
    Moved,
}

impl Recall {
    pub fn new(most: usize, clock: Clock) -> Self {
        let keys = [RandomState::new(), RandomState::new()];
        Recall(Arc::new(Shared { most, clock, keys, known: Mutex::default() }))
    }

    /// A message is about to be moved, in so many parts.
    pub fn note(&self, queue: &Arc<str>, delivery: &Delivery, parts: usize) -> Arc<Note> {
        let state = Mutex::new(State { missing: parts, stage: Stage::Held });
        Arc::new(Note { recall: self.clone(), queue: queue.clone(), delivery: delivery.clone(), state })
    }

    /// What is known of a message that came again.
    pub fn of(&self, queue: &str, returned: &mut Returned) -> Remembered {
        // After a lost connection many come again, and mostly none of them was moved.
        if self.known().moves.is_empty() {
            return Remembered::Nothing;
        }
        let key = *returned.key.get_or_insert_with(|| self.key(queue, &returned.delivery));
        let mut known = self.known();
        let now = self.0.clock.now();
        known.forget_old(now);
        let Some(moves) = known.moves.get_mut(&key) else { return Remembered::Nothing };
        // One that lasts longer may stand before it in the order.
        moves.confirmed.retain(|(_, until)| *until > now);
        let remembered = match moves.confirmed.pop() {
            Some(_) => Remembered::Moved,
            None if moves.on_their_way > 0 => Remembered::OnItsWay,
            None => Remembered::Nothing,
        };
        known.tidy(key);
        remembered
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Two hashes with keys of this process, so that nobody can send two messages that are taken for one.
    fn key(&self, queue: &str, delivery: &Delivery) -> u128 {
        let [high, low] = [0, 1].map(|half: usize| {
            let mut hasher = self.0.keys[half].build_hasher();
            feed_text(&mut hasher, queue);
            feed_parts(&mut hasher, &delivery.parts);
            delivery.flaw.iter().for_each(|flaw| feed_table(&mut hasher, &flaw.originals, &[]));
            u128::from(hasher.finish())
        });
        high << 64 | low
    }
}

impl Known {
    fn confirm(&mut self, key: u128, until: Instant, most: usize) {
        self.last_serial += 1;
        self.moves.entry(key).or_default().confirmed.push((self.last_serial, until));
        self.order.push_back((until, key, self.last_serial));
        while self.order.len() > most {
            self.forget_first();
        }
    }

    fn is_no_more_on_its_way(&mut self, key: u128) {
        if let Some(moves) = self.moves.get_mut(&key) {
            moves.on_their_way = moves.on_their_way.saturating_sub(1);
        }
        self.tidy(key);
    }

    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, ..)| *until <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((_, key, serial)) = self.order.pop_front() else { return };
        if let Some(moves) = self.moves.get_mut(&key) {
            moves.confirmed.retain(|(other, _)| *other != serial);
        }
        self.tidy(key);
    }

    fn tidy(&mut self, key: u128) {
        if self.moves.get(&key).is_some_and(|moves| moves.on_their_way == 0 && moves.confirmed.is_empty()) {
            self.moves.remove(&key);
        }
    }
}

/// One message on the move, shared by whoever publishes its parts and the intake that settles it.
pub(crate) struct Note {
    recall: Recall,
    queue: Arc<str>,
    delivery: Delivery,
    state: Mutex<State>,
}

struct State {
    /// Parts that are not confirmed.
    missing: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The intake that moves it holds it unsettled: it cannot come again.
    Held,
    /// That intake's channel is gone, and some parts are with the publisher.
    OnItsWay(u128),
    Over,
}

impl Note {
    /// The broker has one more of its parts.
    pub fn part_confirmed(&self) {
        let mut state = self.state();
        state.missing = state.missing.saturating_sub(1);
        if let (0, Stage::OnItsWay(key)) = (state.missing, state.stage) {
            state.stage = Stage::Over;
            let mut known = self.recall.known();
            known.is_no_more_on_its_way(key);
            self.remember(&mut known, key, UNACKED_FOR);
        }
    }

    /// The channel that it came by is gone, and it will come again.
    pub fn will_come_again(&self) {
        let mut state = self.state();
        if self.recall.0.most == 0 || state.stage != Stage::Held {
            return;
        }
        let key = self.recall.key(&self.queue, &self.delivery);
        let mut known = self.recall.known();
        if state.missing == 0 {
            state.stage = Stage::Over;
            self.remember(&mut known, key, UNACKED_FOR);
        } else {
            state.stage = Stage::OnItsWay(key);
            known.moves.entry(key).or_default().on_their_way += 1;
        }
    }

    /// Its ack is as good as sent. It may be lost all the same: a message with an id of its own is remembered a while longer. For
    /// one without, another that is just the same may come, and must not be taken for it.
    pub fn settled(&self) {
        let mut state = self.state();
        state.stage = Stage::Over;
        let has_id = self.delivery.parts.properties.message_id.as_ref().is_some_and(|id| !id.is_empty());
        if has_id && self.recall.0.most > 0 {
            let key = self.recall.key(&self.queue, &self.delivery);
            self.remember(&mut self.recall.known(), key, ACKED_FOR);
        }
    }

    fn remember(&self, known: &mut Known, key: u128, how_long: Duration) {
        let shared = &self.recall.0;
        known.confirm(key, later(shared.clock.now(), how_long), shared.most);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Note {
    /// Nobody publishes it any more: what came again of it is handled as anything else.
    fn drop(&mut self) {
        let stage = self.state().stage;
        if let Stage::OnItsWay(key) = stage {
            self.recall.known().is_no_more_on_its_way(key);
        }
    }
}

fn feed_parts(hasher: &mut DefaultHasher, parts: &Parts) {
    let properties = &parts.properties;
    feed_text(hasher, &parts.exchange);
    feed_text(hasher, &parts.routing_key);
    feed_bytes(hasher, &parts.body);
    for text in properties.texts() {
        hasher.write_u8(u8::from(text.is_some()));
        feed_text(hasher, text.as_deref().unwrap_or_default());
    }
    hasher.write_u16(properties.delivery_mode.map_or(0x100, u16::from));
    hasher.write_u16(properties.priority.map_or(0x100, u16::from));
    hasher.write_u64(properties.timestamp.unwrap_or(u64::MAX));
    if let Some(headers) = &properties.headers {
        feed_table(hasher, headers, &BY_BROKER);
    }
}

fn feed_table(hasher: &mut DefaultHasher, table: &Table, without: &[&str]) {
    for (name, value) in table.iter().filter(|(name, _)| !without.contains(&name.as_str())) {
        feed_text(hasher, name);
        feed_value(hasher, value);
    }
    hasher.write_u8(0xff);
}

fn feed_value(hasher: &mut DefaultHasher, value: &Value) {
    match value {
        Value::Text(text) => feed_text(hasher, text),
        Value::Bytes(bytes) => feed_bytes(hasher, bytes),
        Value::Table(table) => feed_table(hasher, table, &[]),
        Value::Array(values) => {
            hasher.write_usize(values.len());
            values.iter().for_each(|value| feed_value(hasher, value));
        }
        // Rare on the way, and small.
        other => feed_text(hasher, &format!("{other:?}")),
    }
}

fn feed_text(hasher: &mut DefaultHasher, text: &str) {
    feed_bytes(hasher, text.as_bytes());
}

fn feed_bytes(hasher: &mut DefaultHasher, bytes: &[u8]) {
    // With its length first, so that no two pieces can be taken for two others.
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}
