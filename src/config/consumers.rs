//! `[consumers]`: a queue each, what handles its messages, and the rules around it.

use super::fields::{nearest, Fields};
use super::handling::{Handling, PROGRAM_KEYS};
use super::retry;
use super::topology::{RESERVED, RESERVED_WHY};
use super::Surroundings;
use crate::consumer::Consumer;
use crate::handlers::Program;
use crate::layout::RetryLayout;
use crate::retry::RetryPolicy;
use crate::step::ConsumerStep;
use crate::topology::{Queue, Topology, DELAYED_RETRY_TYPE};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const KEYS: [&str; 24] = [
    "queue",
    "run",
    "handler",
    "input",
    PROGRAM_KEYS[0],
    PROGRAM_KEYS[1],
    PROGRAM_KEYS[2],
    PROGRAM_KEYS[3],
    PROGRAM_KEYS[4],
    "prefetch",
    "concurrency",
    "accept",
    "retry",
    "archive",
    "kill_switch",
    "soft_time_limit",
    "stuck_after",
    "leave_after",
    "poison_after",
    "priority",
    "exclusive",
    "trust_dead_letter_exchange",
    "halt_when_deleted",
    "arguments",
];

/// Messages that are handed over at once, unless told otherwise.
const PREFETCH: usize = 20;

/// A consumer of the file.
#[derive(Clone)]
pub(crate) struct Configured {
    /// What the file calls it.
    pub name: String,
    pub consumer: Consumer,
    /// What handles its messages, in a few words.
    pub handling: String,
    pub program: Option<Program>,
}

impl ConsumerStep for Configured {
    fn consumers(&self) -> Vec<Consumer> {
        vec![self.consumer.clone()]
    }

    /// By its own name: several may consume one queue.
    fn step_name(&self) -> String {
        format!("consume({})", self.name)
    }
}

/// All consumers of the file; the first of them declares what no other does.
pub(super) fn read(consumers: &Fields<'_>, declared: &Topology, around: &Surroundings) -> Vec<Configured> {
    let (mut all, mut read) = (Vec::<Configured>::new(), Vec::new());
    for (name, fields) in consumers.entries() {
        if let Some(one) = consumer(name, &fields, declared, around) {
            all.push(one);
            read.push(fields);
        }
    }
    let consumed: Vec<String> = all.iter().map(|one| one.consumer.queue().name.clone()).collect();
    if let Some(first) = all.first_mut() {
        let mut consumer = first.consumer.clone();
        for exchange in &declared.exchanges {
            consumer = consumer.exchange(exchange.clone());
        }
        for queue in declared.queues.iter().filter(|queue| !consumed.contains(&queue.name)) {
            consumer = consumer.also_declare(queue.clone());
        }
        first.consumer = consumer;
    }
    check_sharing(&all, &read, declared);
    doubt_two_ways(&all, &read);
    all
}

fn consumer(name: String, fields: &Fields<'_>, declared: &Topology, around: &Surroundings) -> Option<Configured> {
    fields.only(&KEYS);
    let queue = queue(&name, fields, declared);
    let handling = Handling::read(fields, around);
    // What is wrong with the rest is told even where there is no handler.
    let rules = Rules::read(fields);
    let (queue, handling) = (queue?, handling?);
    let can_be = rules.look_at(&queue, fields);
    let (words, program) = (handling.words.clone(), handling.program.clone());
    let consumer = rules.put_on(handling.consuming(queue));
    if let (true, Err(err)) = (can_be, consumer.check()) {
        fields.wrong_at_all(&format!("cannot be: {err}"));
    }
    Some(Configured { name, consumer, handling: words, program })
}

/// The queue that is consumed: as the file declares it, or a durable one of the broker's default type.
fn queue(name: &str, fields: &Fields<'_>, declared: &Topology) -> Option<Queue> {
    let queue = if fields.has("queue") { fields.text("queue")? } else { name.to_owned() };
    if queue.is_empty() {
        fields.wrong("queue", "is empty; name one, or leave it out for the consumer's own name");
        return None;
    }
    let found = declared.queues.iter().find(|other| other.name == queue);
    if found.is_none() && queue.starts_with(RESERVED) {
        let what = format!("would declare the queue `{queue}`, {RESERVED_WHY} under `queues.{queue:?}`");
        fields.wrong_at_all(&what);
    }
    if found.is_none() {
        let near = nearest(&queue, declared.queues.iter().map(|queue| queue.name.as_str()));
        if let Some(near) = near.filter(|near| strsim::normalized_damerau_levenshtein(near, &queue) > 0.7) {
            fields.doubt("queue", &format!("is `{queue}`, a new queue that is not under `queues`; did you mean `{near}`?"));
        }
    }
    Some(found.cloned().unwrap_or_else(|| Queue::new(queue)))
}

/// The rules around a handler.
struct Rules {
    prefetch: Option<u16>,
    concurrency: Option<usize>,
    retry: Option<RetryPolicy>,
    layout: Option<RetryLayout>,
    leave_after: Option<Duration>,
    /// All of them, as they change a consumer.
    changes: Vec<Change>,
}

type Change = Box<dyn FnOnce(Consumer) -> Consumer>;

/// What somebody has set, as a change of the consumer.
fn set<T: 'static>(changes: &mut Vec<Change>, value: Option<T>, put: fn(Consumer, T) -> Consumer) {
    if let Some(value) = value {
        changes.push(Box::new(move |consumer| put(consumer, value)));
    }
}

impl Rules {
    fn read(fields: &Fields<'_>) -> Self {
        let (retry, layout) = retry::read(fields);
        let rules = Rules {
            prefetch: number(fields, "prefetch", 1),
            concurrency: number::<u16>(fields, "concurrency", 1).map(usize::from),
            retry,
            layout,
            leave_after: fields.lasting("leave_after"),
            changes: Vec::new(),
        };
        rules.with_changes(fields)
    }

    fn with_changes(mut self, fields: &Fields<'_>) -> Self {
        let changes = &mut self.changes;
        set(changes, self.prefetch, Consumer::prefetch);
        set(changes, self.concurrency, Consumer::concurrency);
        set(changes, self.retry.clone(), Consumer::retry);
        set(changes, self.layout, Consumer::retry_layout);
        let accept = fields.texts("accept");
        if accept.as_ref().is_some_and(Vec::is_empty) {
            fields.wrong("accept", "is empty, and would not keep anything out; leave it out, or name what is accepted");
        }
        set(changes, accept, Consumer::accept);
        set(changes, fields.table("archive").map(|fields| retry::archive(&fields)), Consumer::archive);
        set(changes, fields.table("kill_switch").map(|fields| retry::kill_switch(&fields)), Consumer::kill_switch);
        set(changes, fields.lasting("soft_time_limit"), Consumer::soft_time_limit);
        set(changes, fields.lasting("stuck_after"), Consumer::stuck_after);
        set(changes, self.leave_after, Consumer::time_limit);
        set(changes, number(fields, "poison_after", 1), Consumer::poison_after);
        set(changes, number(fields, "priority", i32::MIN), Consumer::priority);
        set(changes, number(fields, "halt_when_deleted", 0), Consumer::halt_when_deleted);
        let is_true = |name: &str| fields.truth(name).filter(|truth| *truth);
        set(changes, is_true("exclusive"), |consumer, _| consumer.exclusive());
        set(changes, is_true("trust_dead_letter_exchange"), |consumer, _| consumer.trust_dead_letter_exchange());
        for argument in fields.arguments("arguments") {
            set(changes, Some(argument), |consumer, (name, value)| consumer.argument(name, value));
        }
        self
    }

    /// Tells what is wrong or dubious in what they say together, and whether nothing is wrong.
    fn look_at(&self, queue: &Queue, fields: &Fields<'_>) -> bool {
        let name = &queue.name;
        let prefetch = self.prefetch.map_or(PREFETCH, usize::from);
        if let Some(most) = self.concurrency.filter(|most| *most > prefetch) {
            let what =
                format!("is {most}, and `prefetch` lets only {prefetch} messages be here at once; let that be as many or more");
            fields.doubt("concurrency", &what);
        }
        let holds_back = queue.passive || queue.arguments.contains_key(DELAYED_RETRY_TYPE);
        let can_be = self.layout != Some(RetryLayout::Native) || holds_back;
        if !can_be {
            let what = format!("leaves retries to the queue; let `queues.{name}` hold them back, with `delayed_retry`");
            fields.wrong("retry", &what);
        }
        // Only where somebody has chosen the type: the broker's default may be another.
        let is_classic = queue.queue_type() == Some("classic");
        if is_classic && self.retry != Some(RetryPolicy::none()) && matches!(self.layout, None | Some(RetryLayout::Levels)) {
            fields.doubt_at_all(&format!(
                "has retries on the classic queue `{name}`, to which messages come back from their wait without a confirm: a node that \
                 fails just then may lose one; `type = \"quorum\"` loses none"
            ));
        }
        let limit = if fields.has("time_limit") { fields.time("time_limit") } else { None };
        if self.leave_after.zip(limit).is_some_and(|(leave, limit)| leave <= limit) {
            fields.doubt("leave_after", "is not longer than `time_limit`: the worker leaves before it has ended the program");
        }
        can_be
    }

    fn put_on(self, consumer: Consumer) -> Consumer {
        self.changes.into_iter().fold(consumer, |consumer, change| change(consumer))
    }
}

fn number<N: Bounded>(fields: &Fields<'_>, name: &str, least: N) -> Option<N> {
    fields.whole(name, least.into()..=N::MOST).and_then(|number| N::try_from(number).ok())
}

/// A whole number that ends somewhere.
trait Bounded: Into<i64> + TryFrom<i64> {
    const MOST: i64;
}

impl Bounded for u8 {
    const MOST: i64 = u8::MAX as i64;
}

impl Bounded for u16 {
    const MOST: i64 = u16::MAX as i64;
}

impl Bounded for u32 {
    const MOST: i64 = u32::MAX as i64;
}

impl Bounded for i32 {
    const MOST: i64 = i32::MAX as i64;
}

/// Consumers of one queue share what is around it, and have to want the same there.
fn check_sharing(all: &[Configured], fields: &[Fields<'_>], declared: &Topology) {
    let mut around: Vec<(Queue, &str)> = Vec::new();
    for (one, fields) in all.iter().zip(fields) {
        for queue in one.consumer.beside(declared, false).queues {
            match around.iter().find(|(other, _)| other.name == queue.name) {
                Some((other, first)) if *other != queue => fields.wrong_at_all(&format!(
                    "wants the queue `{}` in another way than `consumers.{first}` does; give both the same `retry` and `archive`",
                    queue.name
                )),
                Some(_) => {}
                None => around.push((queue, &one.name)),
            }
        }
    }
}

/// Its program with its arguments, or its handler.
type Way<'c> = (Option<Vec<String>>, &'c str);

/// The broker deals messages out to whoever consumes: two programs on one queue get a part of them each.
fn doubt_two_ways(all: &[Configured], fields: &[Fields<'_>]) {
    let mut ways: BTreeMap<&str, (&str, Way<'_>)> = BTreeMap::new();
    for (one, fields) in all.iter().zip(fields) {
        let way = (fields.texts("run"), one.handling.as_str());
        let queue = one.consumer.queue().name.as_str();
        let (first, other) = ways.entry(queue).or_insert((&one.name, way.clone()));
        if *other != way {
            fields.doubt_at_all(&format!(
                "handles the messages of `{queue}` in another way than `consumers.{first}` does, and each message goes to one of the \
                 two; for both to have all, bind a queue for each"
            ));
        }
    }
}
