//! Plays a script on a broker, and writes down after each deed all that can be seen there.

use super::plan::BindingPlan;
use super::reader::Reader;
use super::script::{Deed, How, Script};
use super::sight::{described, Sight};
use crate::support::wait::{eventually, holds_within};
use bootstep::{Connection, Error, MemoryBroker, Properties, Queue};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(10);
/// Longer than all short lives together, and far shorter than a long one.
const JUMP: Duration = Duration::from_millis(500);
/// Fine enough that what expires at different times does so one after the other.
const STEP: Duration = Duration::from_millis(10);

/// A deed, and what was to be seen after it.
pub struct Scene {
    deed: Deed,
    sight: Sight,
    /// How long it took until nothing changed any more.
    changing: Duration,
    /// The longest of the short lives that began and that nobody sees end.
    lingering: Duration,
}

/// A script on a broker, as far as it has been played.
pub struct Player<'a> {
    script: &'a Script,
    connection: &'a Connection,
    prefix: &'a str,
    readers: BTreeMap<usize, Reader>,
    played: usize,
}

impl<'a> Player<'a> {
    /// Declares the script's topology.
    pub fn new(script: &'a Script, connection: &'a Connection, prefix: &'a str) -> Self {
        let plan = &script.plan;
        for exchange in plan.exchanges(prefix) {
            connection.declare_exchange(&exchange).unwrap();
        }
        for queue in plan.queues(prefix) {
            connection.declare_queue(&queue).unwrap();
        }
        let player = Player { script, connection, prefix, readers: BTreeMap::new(), played: 0 };
        for binding in plan.bindings() {
            player.bind(binding).unwrap();
        }
        player
    }

    fn perform(&mut self, deed: &Deed) -> String {
        self.played += 1;
        let (plan, connection, prefix) = (&self.script.plan, self.connection, self.prefix);
        let queue_name = |number: &usize| plan.queue_name(prefix, *number);
        match deed {
            Deed::Publish(publishing) => told(connection.publish(&publishing.publications(plan, prefix, self.played), SOON)),
            Deed::Consume { queue, .. } => {
                let opened = Reader::open(connection, queue_name(queue), deed.subscribe(plan));
                told(opened.map(|reader| drop(self.readers.insert(self.played, reader))))
            }
            Deed::Settle { reader, letter, how } => self.settle(*reader, *letter, *how),
            Deed::Close { reader } => {
                let open: Vec<usize> = self.readers.keys().copied().collect();
                if !open.is_empty() {
                    self.readers.remove(&open[reader % open.len()]);
                }
                String::new()
            }
            Deed::Purge { queue } => told(connection.purge_queue(&queue_name(queue))),
            Deed::DeleteQueue { queue } => told(connection.delete_queue(&queue_name(queue))),
            Deed::DeclareQueue { queue } => told(connection.declare_queue(&plan.queue(prefix, *queue)).map(drop)),
            Deed::DeclareQueueOtherwise { queue } => {
                let other = plan.queue(prefix, *queue).max_length(1_000_000);
                // One that does not exist is left so: this is about the refusal.
                match connection.declare_queue(&Queue::existing(&other.name)) {
                    Ok(_) => told(connection.declare_queue(&other).map(drop)),
                    Err(_) => String::new(),
                }
            }
            Deed::Bind(binding) => told(self.bind(binding)),
            Deed::Unbind(binding) => {
                let (is_exchange, destination, binding) = plan.binding(prefix, binding);
                match is_exchange {
                    true => told(connection.unbind_exchange(&destination, &binding)),
                    false => told(connection.unbind(&destination, &binding)),
                }
            }
            Deed::DeleteExchange { exchange } => told(connection.delete_exchange(&plan.exchange_name(prefix, *exchange))),
            Deed::DeclareExchange { exchange } => match plan.any_exchange(prefix, *exchange) {
                Some(exchange) => told(connection.declare_exchange(&exchange)),
                None => String::new(),
            },
        }
    }

    fn bind(&self, binding: &BindingPlan) -> Result<(), Error> {
        let (is_exchange, destination, binding) = self.script.plan.binding(self.prefix, binding);
        match is_exchange {
            true => self.connection.bind_exchange(&destination, &binding),
            false => self.connection.bind(&destination, &binding),
        }
    }

    fn settle(&mut self, reader: usize, letter: usize, how: How) -> String {
        let mut having: Vec<&mut Reader> = self.readers.values_mut().filter(|reader| !reader.held.is_empty()).collect();
        // Nothing is to be settled on a channel whose consumer the broker has cancelled.
        having.retain(|reader| reader.ended.is_none());
        if having.is_empty() {
            return String::new();
        }
        let place = reader % having.len();
        let reader = &mut having[place];
        let place = letter % reader.held.len();
        let how = match how {
            How::Reject if !self.script.plan.may_reject() => How::Requeue,
            how => how,
        };
        told(reader.settle(place, how))
    }

    fn look(&mut self, answer: &str) -> Sight {
        let status = |queue| {
            let status = self.connection.declare_queue(&Queue::existing(queue));
            status.map(|status| (status.messages, status.consumers)).map_err(|err| err.fault())
        };
        let queues = self.script.plan.queue_names(self.prefix).map(status).collect();
        let is_rabbitmq_4 = self.script.plan.is_rabbitmq_4;
        let see = |(number, reader): (&usize, &mut Reader)| {
            reader.look();
            let held = reader.held.iter().map(|letter| described(&letter.message, is_rabbitmq_4));
            (*number, (held.collect(), reader.ended))
        };
        Sight { answer: answer.into(), queues, readers: self.readers.iter_mut().map(see).collect() }
    }

    /// What is done at the end to see what is left on each queue.
    fn closing_deeds(&self) -> Vec<Deed> {
        let close = self.readers.keys().map(|_| Deed::Close { reader: 0 });
        let empty = (0..self.script.plan.queue_count()).flat_map(|queue| {
            let consume = Deed::Consume { queue, prefetch: 1000, priority: None, is_exclusive: false };
            [consume, Deed::Close { reader: 0 }]
        });
        close.chain(empty).collect()
    }

    /// Plays on the memory broker; what is seen there is what RabbitMQ should show.
    pub fn play(mut self, memory: &MemoryBroker) -> Vec<Scene> {
        let mut scenes = Vec::new();
        let mut lingered: Vec<(String, Duration)> = Vec::new();
        let mut deeds = self.script.deeds.clone();
        for round in 0..2 {
            for deed in deeds {
                let answer = self.perform(&deed);
                let (sight, changing) = self.jump(memory, &answer);
                let lives = self.lingering(memory);
                let new = lives.iter().filter(|life| !lingered.contains(life));
                let lingering = new.map(|(_, life)| *life).max().unwrap_or_default();
                scenes.push(Scene { deed, sight, changing, lingering });
                lingered = lives;
            }
            deeds = if round == 0 { self.closing_deeds() } else { Vec::new() };
        }
        scenes
    }

    /// Turns the clock until all that is short is over; answers what is seen then, and when that was last otherwise.
    fn jump(&mut self, memory: &MemoryBroker, answer: &str) -> (Sight, Duration) {
        let (mut sight, mut changing, mut passed) = (self.look(answer), Duration::ZERO, Duration::ZERO);
        while passed < JUMP {
            memory.advance(STEP);
            passed += STEP;
            let now = self.look(answer);
            if now != sight {
                (sight, changing) = (now, passed);
            }
        }
        (sight, changing)
    }

    /// The messages whose time is short and that are still there: with a consumer, or behind one that lives longer.
    fn lingering(&self, memory: &MemoryBroker) -> Vec<(String, Duration)> {
        let mut lingering = Vec::new();
        let mut note = |queue: &str, what: String, properties: &Properties| {
            if let Some(life) = self.script.short_life_of(self.prefix, queue, properties) {
                lingering.push((what, life));
            }
        };
        for queue in self.script.plan.queue_names(self.prefix) {
            for message in memory.messages(&queue) {
                note(&queue, format!("{queue} {:?} {:?}", message.body(), message.properties), &message.properties);
            }
        }
        for reader in self.readers.values() {
            for letter in &reader.held {
                note(&reader.queue, described(&letter.message, self.script.plan.is_rabbitmq_4), letter.message.properties());
            }
        }
        lingering
    }

    /// Plays on RabbitMQ what was played on the memory broker, up to the first difference.
    ///
    /// `patience` is how long it has to come to where the memory broker is: only a difference takes that long.
    pub fn follow(mut self, scenes: &[Scene], patience: Duration) -> Result<(), String> {
        for scene in scenes {
            let begun = Instant::now();
            let answer = self.perform(&scene.deed);
            // What is seen on the way may look like the end.
            wait_until(begun + scene.changing);
            let mut last = None;
            let is_alike = holds_within(patience, || {
                last = Some(self.look(&answer));
                // Twice, because the first time may be on the way to somewhere else.
                last.as_ref() == Some(&scene.sight) && self.look(&answer) == scene.sight
            });
            if !is_alike {
                let seen = last.expect("it has looked");
                let difference = format!("after {:?}\n  memory: {}\nRabbitMQ: {seen}", scene.deed, scene.sight);
                return Err(difference.replace(self.prefix, ""));
            }
            if !scene.lingering.is_zero() {
                // It began when the message came to its queue, which is before now.
                wait_until(Instant::now() + scene.lingering + STEP);
            }
        }
        Ok(())
    }
}

impl Drop for Player<'_> {
    fn drop(&mut self) {
        self.readers.clear();
        for queue in self.script.plan.queue_names(self.prefix) {
            let _ = self.connection.delete_queue(&queue);
        }
        for exchange in self.script.plan.exchanges(self.prefix) {
            let _ = self.connection.delete_exchange(&exchange.name);
        }
    }
}

/// Time passes on RabbitMQ by itself.
fn wait_until(moment: Instant) {
    eventually("time passes", SOON, || Instant::now() >= moment);
}

fn told<T: fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Ok(answer) => format!("{answer:?}"),
        Err(err) => format!("{:?}", err.fault()),
    }
}
