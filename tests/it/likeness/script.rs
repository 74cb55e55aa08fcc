//! A random history: a small topology, and what is done to it.
//!
//! Everything is named by number, modulo how many there are, so that proptest can take any part away and the rest keeps its sense.

use super::plan::{binding, exchange_number, life, plan, BindingPlan, Life, Plan, Sort, LONG};
use bootstep::{Properties, Publication, Subscribe, Value};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::fmt;
use std::time::Duration;

/// A publication's own short life, for which it goes to one queue only: two that die at the same moment on two queues may come
/// to a third in either order.
const SHORT_OF_ITS_OWN: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub struct Script {
    pub plan: Plan,
    pub deeds: Vec<Deed>,
}

/// What is done, one after the other.
#[derive(Clone, Debug)]
pub enum Deed {
    Publish(Publishing),
    Consume { queue: usize, prefetch: u16, priority: Option<i32>, is_exclusive: bool },
    Settle { reader: usize, letter: usize, how: How },
    Close { reader: usize },
    Purge { queue: usize },
    DeleteQueue { queue: usize },
    DeclareQueue { queue: usize },
    DeclareQueueOtherwise { queue: usize },
    Bind(BindingPlan),
    Unbind(BindingPlan),
    DeleteExchange { exchange: usize },
    DeclareExchange { exchange: usize },
}

#[derive(Clone, Debug)]
pub struct Publishing {
    exchange: usize,
    key: usize,
    count: usize,
    life: Option<Life>,
    copies: Option<(bool, Vec<usize>)>,
    mandatory: bool,
    priority: Option<u8>,
    headers: usize,
    is_large: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    Ack,
    AckUpTo,
    Reject,
    Requeue,
}

impl Deed {
    pub fn subscribe(&self, plan: &Plan) -> Subscribe {
        let Deed::Consume { queue, prefetch, priority, is_exclusive } = self else { return Subscribe::new() };
        // Whoever hands back a message once too often has room for two more then, up to 3.x: nobody should need it.
        let prefetch = if plan.has_delivery_limit(*queue) { 1000 } else { *prefetch };
        let mut options = Subscribe::new().prefetch(prefetch);
        if let Some(priority) = priority {
            options = options.priority(*priority);
        }
        if *is_exclusive {
            options = options.exclusive();
        }
        options
    }
}

impl Publishing {
    /// The messages; `serial` tells them apart from all others.
    pub fn publications(&self, plan: &Plan, prefix: &str, serial: usize) -> Vec<Publication> {
        let is_short = self.life == Some(Life::Short);
        let exchange = if is_short { String::new() } else { plan.exchange_name(prefix, self.exchange) };
        let copies = self.copies.as_ref().filter(|_| !is_short);
        let mut properties = Properties::persistent("text/plain");
        properties.expiration = self.life.map(|life| match life {
            Life::Short => SHORT_OF_ITS_OWN.as_millis().to_string(),
            Life::Long => LONG.as_millis().to_string(),
        });
        // From 4.0 on quorum queues have priorities of their own. And RabbitMQ may forget that a message expires which gets ahead
        // of others, until something else makes it look.
        let has_none = is_short || (plan.is_rabbitmq_4 && plan.has_quorum_queue());
        properties.priority = self.priority.filter(|_| !has_none);
        if let Some((are_blind, copies)) = copies {
            let keys = copies.iter().map(|copy| Value::from(plan.key(prefix, &exchange, *copy))).collect();
            properties = properties.header(if *are_blind { "BCC" } else { "CC" }, Value::Array(keys));
        }
        properties = match self.headers {
            0 => properties,
            1 => properties.header("h", 1),
            2 => properties.header("g", "yes"),
            _ => properties.header("h", 1).header("g", "yes"),
        };
        // What goes to several queues goes alone: what one of them drops may come to another before, or after, the next message.
        // Where the first closes the channel, those behind it are lost anyway.
        let is_alone = !exchange.is_empty() || copies.is_some() || plan.has_bounded_queue();
        let padding = if self.is_large { " ".repeat(60) } else { String::new() };
        let publication = |number: usize| {
            let body = format!("m{serial}.{number}{padding}");
            let publication = Publication::new(exchange.as_str(), plan.key(prefix, &exchange, self.key), body);
            let publication = publication.with(properties.clone());
            if self.mandatory {
                publication.mandatory()
            } else {
                publication
            }
        };
        (0..if is_alone { 1 } else { self.count }).map(publication).collect()
    }
}

impl Script {
    /// How long a message with these properties has on this queue, if that is short.
    pub fn short_life_of(&self, prefix: &str, queue: &str, properties: &Properties) -> Option<Duration> {
        let number = self.plan.queue_names(prefix).position(|name| name == queue)?;
        let own = properties.expiration.as_ref().and_then(|text| text.parse().ok()).map(Duration::from_millis);
        let ttls = [own, self.plan.ttl(number)];
        ttls.into_iter().flatten().min().filter(|ttl| *ttl < LONG)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:?}", self.plan)?;
        self.deeds.iter().enumerate().try_for_each(|(number, deed)| {
            write!(f, "  {}. ", number + 1)?;
            match deed {
                Deed::Publish(publishing) => {
                    for publication in publishing.publications(&self.plan, "", number + 1) {
                        write!(f, "{publication:?} {:?}, mandatory: {}; ", publication.properties, publication.mandatory)?;
                    }
                    writeln!(f)
                }
                Deed::Bind(binding) => writeln!(f, "bind {:?}", self.plan.binding("", binding)),
                Deed::Unbind(binding) => writeln!(f, "unbind {:?}", self.plan.binding("", binding)),
                other => writeln!(f, "{other:?}"),
            }
        })
    }
}

pub fn script(sort: Sort, is_rabbitmq_4: bool) -> impl Strategy<Value = Script> {
    (plan(sort, is_rabbitmq_4), vec(deed(sort), 1..30)).prop_map(|(plan, deeds)| Script { plan, deeds })
}

fn deed(sort: Sort) -> impl Strategy<Value = Deed> {
    let number = || 0..4_usize;
    let how = prop_oneof![1 => Just(How::Ack), 1 => Just(How::AckUpTo), 4 => Just(How::Reject), 2 => Just(How::Requeue)];
    let consume = (number(), 1..4_u16, option::weighted(0.2, 0..3_i32), prop::bool::weighted(0.05));
    prop_oneof![
        10 => publishing(sort).prop_map(Deed::Publish),
        6 => consume.prop_map(|(queue, prefetch, priority, is_exclusive)| {
            Deed::Consume { queue, prefetch, priority, is_exclusive }
        }),
        14 => (number(), number(), how).prop_map(|(reader, letter, how)| Deed::Settle { reader, letter, how }),
        4 => number().prop_map(|reader| Deed::Close { reader }),
        6 => prop_oneof![
            number().prop_map(|queue| Deed::Purge { queue }),
            number().prop_map(|queue| Deed::DeleteQueue { queue }),
            number().prop_map(|queue| Deed::DeclareQueue { queue }),
            number().prop_map(|queue| Deed::DeclareQueueOtherwise { queue }),
            binding().prop_map(Deed::Bind),
            binding().prop_map(Deed::Unbind),
            exchange_number().prop_map(|exchange| Deed::DeleteExchange { exchange }),
            number().prop_map(|exchange| Deed::DeclareExchange { exchange }),
        ],
    ]
}

fn publishing(sort: Sort) -> impl Strategy<Value = Publishing> {
    let whither = (exchange_number(), 0..8_usize, 1..4_usize, life(sort));
    let copies = option::weighted(0.15, (prop::bool::weighted(0.3), vec(0..8_usize, 0..3)));
    let what = (prop::bool::weighted(0.2), option::weighted(0.3, 0..5_u8), 0..4_usize, prop::bool::weighted(0.3));
    (whither, copies, what).prop_map(|((exchange, key, count, life), copies, (mandatory, priority, headers, is_large))| {
        Publishing { exchange, key, count, life, copies, mandatory, priority, headers, is_large }
    })
}
