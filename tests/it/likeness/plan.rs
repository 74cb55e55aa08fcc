//! A random topology: two to four queues, up to two exchanges, what is bound to what, and where the dead go.
//!
//! Left out is what RabbitMQ itself leaves open, or what looking changes: a dead letter that is held until somebody takes it is
//! tried again when RabbitMQ pleases (`x-dead-letter-strategy`), and whoever asks how many messages a queue holds also keeps
//! it from expiring (`x-expires`). What takes minutes is left out as well (`x-consumer-timeout`).

use bootstep::{Binding, Exchange, ExchangeKind, Queue};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::fmt;
use std::time::Duration;

/// How long a message lives on a queue. What is short has ended before the next deed, what is long never ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Life {
    Short,
    Long,
}

pub const LONG: Duration = Duration::from_secs(3600);
const PATTERNS: [&str; 7] = ["a", "b", "a.b", "*", "#", "a.*", "*.b"];
const KEYS: [&str; 4] = ["a", "b", "a.b", "a.c"];
const KINDS: [ExchangeKind; 4] = [ExchangeKind::Direct, ExchangeKind::Topic, ExchangeKind::Fanout, ExchangeKind::Headers];
/// The number of the exchange that is not there; 0 is the default exchange.
const MISSING: usize = 9;
/// So many queues, the first ones, may have a short life: see [`Plan::ttl`].
const SHORT_LIVED: usize = 3;

/// What the queues of a plan may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sort {
    Classic,
    Quorum,
    /// Both, and messages expire.
    Mixed,
}

#[derive(Clone)]
pub struct Plan {
    queues: Vec<QueuePlan>,
    exchanges: Vec<ExchangePlan>,
    bindings: Vec<BindingPlan>,
    /// Whether the dead of each queue go to a later one, and never come back.
    is_forward: bool,
    pub is_rabbitmq_4: bool,
}

#[derive(Clone, Debug)]
struct QueuePlan {
    is_quorum: bool,
    life: Option<Life>,
    dead: Option<DeadPlan>,
    bound: Option<Bound>,
    max_priority: Option<u8>,
    is_single_active: bool,
    is_auto_delete: bool,
    delivery_limit: Option<u32>,
}

/// Where the dead go: an exchange, and a key of the queue's or their own.
#[derive(Clone, Debug)]
struct DeadPlan {
    exchange: usize,
    key: Option<usize>,
}

#[derive(Clone, Debug)]
struct Bound {
    is_of_bytes: bool,
    most: u32,
    overflow: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct ExchangePlan {
    kind: usize,
    alternate: Option<usize>,
    is_internal: bool,
    is_auto_delete: bool,
}

/// A queue, or an exchange, bound to an exchange.
#[derive(Clone, Debug)]
pub struct BindingPlan {
    source: usize,
    destination: usize,
    is_to_exchange: bool,
    pattern: usize,
    arguments: usize,
}

impl Plan {
    /// The names have `prefix` in front, so that two plays on one broker never meet.
    pub fn queue_name(&self, prefix: &str, queue: usize) -> String {
        format!("{prefix}q{}", queue % self.queues.len())
    }

    pub fn queue_names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = String> + 'a {
        (0..self.queues.len()).map(move |number| self.queue_name(prefix, number))
    }

    pub fn queue_count(&self) -> usize {
        self.queues.len()
    }

    /// The default exchange, one of those declared, or one that does not exist.
    pub fn exchange_name(&self, prefix: &str, exchange: usize) -> String {
        match (exchange, self.exchanges.len()) {
            (MISSING, _) => format!("{prefix}missing"),
            (0, _) | (_, 0) => String::new(),
            (number, declared) => format!("{prefix}x{}", (number - 1) % declared + 1),
        }
    }

    /// A routing key for this exchange; one that leads somewhere is more likely than another.
    pub fn key(&self, prefix: &str, exchange: &str, key: usize) -> String {
        let others = if exchange.is_empty() { 1 } else { KEYS.len() };
        match (key % (self.queues.len() + others)).checked_sub(self.queues.len()) {
            Some(other) => KEYS[other].to_owned(),
            None => self.queue_name(prefix, key % (self.queues.len() + others)),
        }
    }

    pub fn exchanges(&self, prefix: &str) -> Vec<Exchange> {
        (0..self.exchanges.len()).map(|number| self.exchange(prefix, number)).collect()
    }

    /// `None` if there are none.
    pub fn any_exchange(&self, prefix: &str, number: usize) -> Option<Exchange> {
        let number = number.checked_rem(self.exchanges.len())?;
        Some(self.exchange(prefix, number))
    }

    fn exchange(&self, prefix: &str, number: usize) -> Exchange {
        let plan = &self.exchanges[number];
        let exchange = Exchange::new(format!("{prefix}x{}", number + 1), KINDS[plan.kind].clone());
        let exchange = if plan.is_internal { exchange.internal() } else { exchange };
        let exchange = if plan.is_auto_delete { exchange.auto_delete() } else { exchange };
        match plan.alternate {
            None => exchange,
            Some(alternate) => exchange.alternate(self.exchange_name(prefix, alternate)),
        }
    }

    pub fn bindings(&self) -> &[BindingPlan] {
        if self.exchanges.is_empty() {
            return &[];
        }
        &self.bindings
    }

    /// Whether it is an exchange that is bound, its name or the queue's, and the binding.
    pub fn binding(&self, prefix: &str, plan: &BindingPlan) -> (bool, String, Binding) {
        let exchange = |number: usize| format!("{prefix}x{}", number % self.exchanges.len().max(1) + 1);
        let binding = Binding::new(exchange(plan.source), PATTERNS[plan.pattern]);
        let binding = match plan.arguments {
            0 => binding,
            1 => binding.argument("x-match", "all").argument("h", 1),
            2 => binding.argument("x-match", "any").argument("h", 1).argument("g", "yes"),
            _ => binding.argument("h", 1).argument("g", "yes"),
        };
        match plan.is_to_exchange {
            true => (true, exchange(plan.destination), binding),
            false => (false, self.queue_name(prefix, plan.destination), binding),
        }
    }

    pub fn queues(&self, prefix: &str) -> Vec<Queue> {
        (0..self.queues.len()).map(|number| self.queue(prefix, number)).collect()
    }

    pub fn queue(&self, prefix: &str, number: usize) -> Queue {
        let number = number % self.queues.len();
        let plan = &self.queues[number];
        let queue = Queue::new(self.queue_name(prefix, number));
        let mut queue = if plan.is_quorum { self.quorum(queue, plan) } else { classic(queue, plan) };
        if let Some(ttl) = self.ttl(number) {
            queue = queue.message_ttl(ttl);
        }
        if let Some((exchange, key)) = self.dead_letters_of(prefix, number) {
            queue = queue.argument("x-dead-letter-exchange", exchange);
            if let Some(key) = key {
                queue = queue.argument("x-dead-letter-routing-key", key);
            }
        }
        // From 4.0 on the next active consumer of a classic queue may be served before it has back what the last one had, and
        // a consumer of higher priority takes over a quorum queue from one that is at work.
        if plan.is_single_active && !self.is_rabbitmq_4 {
            queue = queue.single_active_consumer();
        }
        bounded(queue, plan, self.is_rabbitmq_4)
    }

    fn dead_letters_of(&self, prefix: &str, number: usize) -> Option<(String, Option<String>)> {
        let plan = &self.queues[number];
        let DeadPlan { exchange, key } = plan.dead.as_ref()?;
        // What a full queue sends on and the same publication's copy for a quorum queue come there in either order. A 3.10 node
        // with one thread, as the tests start it, keeps to one from quorum queue to quorum queue.
        let keeps_to_one = !self.has_quorum_queue() || (plan.is_quorum && !self.is_rabbitmq_4);
        if plan.bound.is_some() && !keeps_to_one {
            return None;
        }
        if self.is_forward {
            let later = key.unwrap_or(0).checked_rem(self.queues.len() - number - 1)?;
            return Some((String::new(), Some(self.queue_name(prefix, number + 1 + later))));
        }
        let exchange = self.exchange_name(prefix, *exchange);
        let key = key.map(|key| self.key(prefix, &exchange, key));
        Some((exchange, key))
    }

    /// Whether consumers may reject. RabbitMQ 3.x goes by an order of deaths that it has turned round when it looks whether one
    /// goes round by itself: it takes some that were rejected on the way for such, and lets others go round for ever.
    pub fn may_reject(&self) -> bool {
        self.is_forward || self.is_rabbitmq_4
    }

    fn quorum(&self, queue: Queue, plan: &QueuePlan) -> Queue {
        let queue = queue.quorum();
        match plan.delivery_limit {
            // From 4.0 on every quorum queue has a limit, and what comes back goes to the front. What counts differs between
            // 4.0 and 4.3, so none is ever reached.
            _ if self.is_rabbitmq_4 => queue.delivery_limit(1000),
            None => queue,
            Some(limit) => queue.delivery_limit(limit),
        }
    }

    /// Each queue's short life is longer than those of all before it together: what starts on two queues at the same moment
    /// never gets to a third at the same moment, by whatever way.
    pub fn ttl(&self, queue: usize) -> Option<Duration> {
        match self.queues[queue].life? {
            Life::Short if queue < SHORT_LIVED => Some(Duration::from_millis(40 << queue)),
            _ => Some(LONG),
        }
    }

    pub fn has_delivery_limit(&self, queue: usize) -> bool {
        let plan = &self.queues[queue % self.queues.len()];
        plan.is_quorum && plan.delivery_limit.is_some()
    }

    /// Whether several messages at once would be a race: what the first pushes out of a queue may come back to it, if it was
    /// rejected before, while the others are on their way.
    pub fn has_bounded_queue(&self) -> bool {
        self.queues.iter().any(|plan| plan.bound.is_some())
    }

    pub fn has_quorum_queue(&self) -> bool {
        self.queues.iter().any(|plan| plan.is_quorum)
    }
}

fn classic(queue: Queue, plan: &QueuePlan) -> Queue {
    let queue = queue.classic();
    let queue = if plan.is_auto_delete { queue.auto_delete() } else { queue };
    match plan.max_priority {
        None => queue,
        Some(most) => queue.max_priority(most),
    }
}

fn bounded(queue: Queue, plan: &QueuePlan, is_rabbitmq_4: bool) -> Queue {
    let Some(bound) = &plan.bound else { return queue };
    // 4.3 counts what a quorum queue keeps beside the bodies as well.
    let is_of_bytes = bound.is_of_bytes && !(plan.is_quorum && is_rabbitmq_4);
    let queue = if is_of_bytes { queue.max_length_bytes(bound.most * 50) } else { queue.max_length(bound.most) };
    match bound.overflow {
        None => queue,
        Some(overflow) => queue.overflow(overflow),
    }
}

impl fmt::Debug for Plan {
    /// A line for each part: proptest prints the smallest script that fails.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for queue in self.queues("") {
            writeln!(f, "  queue {:?} {:?}", queue.name, queue.arguments)?;
        }
        for exchange in self.exchanges("") {
            writeln!(f, "  exchange {exchange:?}")?;
        }
        self.bindings().iter().try_for_each(|binding| writeln!(f, "  binding {:?}", self.binding("", binding)))
    }
}

pub fn plan(sort: Sort, is_rabbitmq_4: bool) -> impl Strategy<Value = Plan> {
    (vec(queue(sort), 2..5), vec(exchange(), 0..3), vec(binding(), 0..6), any::<bool>()).prop_map(
        move |(queues, exchanges, bindings, is_forward)| Plan { queues, exchanges, bindings, is_forward, is_rabbitmq_4 },
    )
}

fn queue(sort: Sort) -> impl Strategy<Value = QueuePlan> {
    let is_quorum = prop::bool::weighted(match sort {
        Sort::Classic => 0.0,
        Sort::Quorum => 1.0,
        Sort::Mixed => 0.3,
    });
    let dead = (exchange_number(), option::weighted(0.8, 0..6_usize)).prop_map(|(exchange, key)| DeadPlan { exchange, key });
    let overflow = prop_oneof![
        3 => Just(None),
        2 => Just(Some("drop-head")),
        2 => Just(Some("reject-publish")),
        2 => Just(Some("reject-publish-dlx")),
    ];
    let bound = (prop::bool::weighted(0.3), 0..4_u32, overflow).prop_map(|(is_of_bytes, most, overflow)| Bound {
        is_of_bytes,
        most,
        overflow,
    });
    (
        is_quorum,
        life(sort),
        option::weighted(0.8, dead),
        option::weighted(0.35, bound),
        option::weighted(0.2, 1..4_u8),
        (prop::bool::weighted(0.15), prop::bool::weighted(0.1)),
        option::weighted(0.3, 0..3_u32),
    )
        .prop_map(|(is_quorum, life, dead, bound, max_priority, (is_single_active, is_auto_delete), delivery_limit)| {
            QueuePlan { is_quorum, life, dead, bound, max_priority, is_single_active, is_auto_delete, delivery_limit }
        })
}

pub fn exchange_number() -> impl Strategy<Value = usize> {
    prop_oneof![10 => Just(0), 9 => 1..3_usize, 1 => Just(MISSING)]
}

pub fn life(sort: Sort) -> impl Strategy<Value = Option<Life>> {
    match sort {
        Sort::Mixed => prop_oneof![3 => Just(None), 2 => Just(Some(Life::Short)), 1 => Just(Some(Life::Long))].boxed(),
        _ => Just(None).boxed(),
    }
}

fn exchange() -> impl Strategy<Value = ExchangePlan> {
    (0..KINDS.len(), option::weighted(0.3, exchange_number()), prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(
        |(kind, alternate, is_internal, is_auto_delete)| ExchangePlan { kind, alternate, is_internal, is_auto_delete },
    )
}

pub fn binding() -> impl Strategy<Value = BindingPlan> {
    (0..2_usize, 0..4_usize, prop::bool::weighted(0.2), 0..PATTERNS.len(), 0..4_usize).prop_map(
        |(source, destination, is_to_exchange, pattern, arguments)| BindingPlan {
            source,
            destination,
            is_to_exchange,
            pattern,
            arguments,
        },
    )
}
