//! The configuration file of amqp-dispatcher as it is: queues with their bindings, consumers, and what to call at the start.

mod entry;

pub use entry::{find, twice};

use bootstep::Queue;
use entry::{Entry, Mistakes};
use saphyr::{LoadableYamlNode, MarkedYaml};

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What to call before connecting, `module:function`.
    pub startup_handler: Option<String>,
    /// The queues to declare, in their order.
    pub queues: Vec<Queue>,
    /// Who consumes them.
    pub consumers: Vec<ConsumerSettings>,
}

/// One entry of `consumers`.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// `module:Class`.
    pub consumer: String,
    /// The queue's name.
    pub queue: String,
    /// How many instances there are.
    pub consumer_count: usize,
    /// How many messages the broker hands over; 0 for as many as it has.
    pub prefetch_count: u16,
}

const TOP: [&str; 3] = ["startup_handler", "queues", "consumers"];
const QUEUE: [&str; 12] = [
    "queue",
    "durable",
    "auto_delete",
    "exclusive",
    "passive",
    "x_dead_letter_exchange",
    "x_dead_letter_routing_key",
    "x_max_length",
    "x_expires",
    "x_message_ttl",
    "x_queue_type",
    "bindings",
];
const TEXT_ARGUMENTS: [&str; 3] = ["x_dead_letter_exchange", "x_dead_letter_routing_key", "x_queue_type"];
/// With the least that RabbitMQ takes (<https://www.rabbitmq.com/docs/ttl>).
const NUMBER_ARGUMENTS: [(&str, i64); 3] = [("x_max_length", 0), ("x_expires", 1), ("x_message_ttl", 0)];
const BINDING: [&str; 2] = ["exchange", "routing_key"];
const CONSUMER: [&str; 4] = ["consumer", "queue", "consumer_count", "prefetch_count"];

/// Each instance may need a thread.
const MOST_INSTANCES: i64 = 10_000;

impl Settings {
    /// Reads a file's text: what can be read of it, and all that is wrong with it, each with its line.
    pub fn parse(text: &str) -> (Self, Mistakes) {
        let documents = match MarkedYaml::load_from_str(text) {
            Ok(documents) => documents,
            Err(err) => return (Settings::default(), vec![format!("this is not YAML: {err}")]),
        };
        let mut mistakes = Mistakes::new();
        let settings = match &documents[..] {
            [document] => Settings::read(document, &mut mistakes),
            several => {
                let why = if several.is_empty() { "is empty" } else { "has several documents; take the `---` out" };
                mistakes.push(format!("the file {why}"));
                None
            }
        };
        (settings.unwrap_or_default(), mistakes)
    }

    fn read<'a>(document: &'a MarkedYaml<'a>, mistakes: &mut Mistakes) -> Option<Self> {
        let file = Entry::of("the file", document, &TOP, mistakes)?;
        let mut settings = Settings { startup_handler: file.text("startup_handler", mistakes), ..Settings::default() };
        for (index, node) in file.list("queues", mistakes).iter().enumerate() {
            if let Some(queue) = queue_of(index, node, mistakes) {
                settings.add_queue(queue, node, mistakes);
            }
        }
        let consumers = file.list("consumers", mistakes);
        if consumers.is_empty() {
            mistakes.push("the file names no consumers; list them under `consumers`".into());
        }
        let consumers = consumers.iter().enumerate().filter_map(|(index, node)| consumer_of(index, node, mistakes));
        settings.consumers = consumers.collect();
        Some(settings)
    }

    /// A queue that is listed twice in the same way has the bindings of both.
    fn add_queue(&mut self, mut queue: Queue, node: &MarkedYaml<'_>, mistakes: &mut Mistakes) {
        let Some(same) = self.queues.iter_mut().find(|other| other.name == queue.name) else {
            return self.queues.push(queue);
        };
        let bindings = std::mem::replace(&mut queue.bindings, same.bindings.clone());
        if *same != queue {
            let line = node.span.start.line();
            mistakes.push(format!("line {line}: the queue `{}` is listed a second time, in another way", queue.name));
        }
        same.bindings.extend(bindings);
    }

    /// The queue of this name: as it is listed, or one that must be there already.
    pub fn queue(&self, name: &str) -> Queue {
        let listed = self.queues.iter().find(|queue| queue.name == name);
        listed.cloned().unwrap_or_else(|| Queue::existing(name))
    }
}

fn queue_of<'a>(index: usize, node: &'a MarkedYaml<'a>, mistakes: &mut Mistakes) -> Option<Queue> {
    let entry = Entry::of(&format!("queue {}", index + 1), node, &QUEUE, mistakes)?;
    let name = named(&entry, mistakes);
    let entry = match &name {
        Some(name) => entry.called(format!("the queue `{name}`")),
        None => entry,
    };
    let mut queue = Queue::new(name.clone().unwrap_or_default());
    queue.durable = entry.truth("durable", true, mistakes);
    queue.auto_delete = entry.truth("auto_delete", false, mistakes);
    queue.exclusive = entry.truth("exclusive", false, mistakes);
    queue.passive = entry.truth("passive", false, mistakes);
    for key in TEXT_ARGUMENTS {
        if let Some(text) = entry.text(key, mistakes) {
            queue = queue.argument(key.replace('_', "-"), text);
        }
    }
    for (key, least) in NUMBER_ARGUMENTS {
        if let Some(number) = entry.number(key, least..=i64::from(u32::MAX), mistakes) {
            queue = queue.argument(key.replace('_', "-"), number);
        }
    }
    for (index, node) in entry.list("bindings", mistakes).iter().enumerate() {
        let what = format!("binding {} of the queue `{}`", index + 1, queue.name);
        let Some(binding) = Entry::of(&what, node, &BINDING, mistakes) else { continue };
        let (exchange, key) = (binding.required("exchange", mistakes), binding.required("routing_key", mistakes));
        if let (Some(exchange), Some(key)) = (exchange, key) {
            queue = queue.bind(exchange, key);
        }
    }
    name.map(|_| queue)
}

/// The name of a queue; an empty one would be the broker's to give, and no consumer could name it.
fn named(entry: &Entry<'_>, mistakes: &mut Mistakes) -> Option<String> {
    let name = entry.required("queue", mistakes)?;
    if name.is_empty() {
        mistakes.push(entry.mistake("has an empty `queue`; give it a name"));
    }
    Some(name).filter(|name| !name.is_empty())
}

fn consumer_of<'a>(index: usize, node: &'a MarkedYaml<'a>, mistakes: &mut Mistakes) -> Option<ConsumerSettings> {
    let entry = Entry::of(&format!("consumer {}", index + 1), node, &CONSUMER, mistakes)?;
    let consumer = entry.required("consumer", mistakes);
    let entry = match &consumer {
        Some(class) => entry.called(format!("the consumer `{class}`")),
        None => entry,
    };
    let queue = named(&entry, mistakes);
    let consumer_count = entry.number("consumer_count", 1..=MOST_INSTANCES, mistakes).unwrap_or(1);
    let prefetch_count = entry.number("prefetch_count", 0..=i64::from(u16::MAX), mistakes).unwrap_or(1);
    Some(ConsumerSettings {
        consumer: consumer?,
        // Without one it is not used, but whether the class is known is told all the same.
        queue: queue.unwrap_or_default(),
        // Both are within their bounds.
        consumer_count: usize::try_from(consumer_count).unwrap_or(1),
        prefetch_count: u16::try_from(prefetch_count).unwrap_or(1),
    })
}
