//! Declarations: any two queues or exchanges are the same or refused, whatever their arguments, and no message upsets them.

use super::input::Input;
use crate::broker::mismatch::in_words;
use crate::broker::{Broker, Connection};
use crate::error::{Error, Fault};
use crate::message::{Publication, Table, Value};
use crate::topology::{Binding, Exchange, ExchangeKind, Queue};
use crate::transport::memory::MemoryBroker;
use std::fmt::Debug;
use std::time::Duration;

const ARGUMENTS: [&str; 16] = [
    "x-queue-type",
    "x-message-ttl",
    "x-expires",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-max-priority",
    "x-delivery-limit",
    "x-single-active-consumer",
    "x-queue-mode",
    "x-consumer-timeout",
    "alternate-exchange",
    "x-match",
];

const TEXTS: [&str; 16] = [
    "classic",
    "quorum",
    "stream",
    "drop-head",
    "reject-publish",
    "reject-publish-dlx",
    "at-most-once",
    "at-least-once",
    "default",
    "lazy",
    "all",
    "any-with-x",
    "",
    "q",
    "e",
    "f",
];

/// Who declares twice is told yes exactly if it is the same twice; messages pass, and time passes, without a panic.
pub fn topology(data: &[u8]) {
    let mut input = Input::new(data);
    if input.u8() % 8 == 0 {
        return check_words(&String::from_utf8_lossy(input.rest()));
    }
    let memory = MemoryBroker::new();
    let connection = Broker::from(&memory).connect("fuzz").expect("nobody stops it");
    if input.flag() {
        declare_exchanges(&mut input, &connection);
    }
    let first = queue(&mut input);
    let declared = connection.declare_queue(&first);
    let second = changed_queue(&mut input, &first);
    let again = connection.declare_queue(&second);
    if declared.is_ok() && !first.passive && first.name == second.name && !first.name.is_empty() {
        let is_same =
            second.passive || same_flags(&first, &second) && same(&compared(&first, &first), &compared(&second, &first));
        check_answer(again, is_same, (&first, &second));
    }
    for _ in 0..input.u8() % 3 {
        let arguments = arguments(&mut input);
        let binding = Binding { arguments, ..Binding::new(input.one_of(&TEXTS), input.text()) };
        // It may well be refused, as what follows.
        let _ = connection.bind(&first.name, &binding);
    }
    while !input.is_empty() {
        let publication = Publication::new(input.one_of(&TEXTS), input.one_of(&TEXTS), "abc").with(input.properties());
        let _ = memory.publish(publication);
        memory.advance(Duration::from_millis(input.u16().into()));
    }
}

fn declare_exchanges(input: &mut Input<'_>, connection: &Connection) {
    let first = exchange(input);
    let declared = connection.declare_exchange(&first);
    let second = changed_exchange(input, &first);
    let again = connection.declare_exchange(&second);
    if declared.is_ok() && !first.passive && first.name == second.name {
        let flags = |exchange: &Exchange| [exchange.durable, exchange.auto_delete, exchange.internal];
        let is_same_kind = first.kind == second.kind && flags(&first) == flags(&second);
        let is_same = second.passive || is_same_kind && same(&first.arguments, &second.arguments);
        check_answer(again, is_same, (&first, &second));
    }
}

fn check_answer<T: Debug>(answer: Result<T, Error>, is_same: bool, both: impl Debug) {
    match answer {
        Ok(_) => assert!(is_same, "taken for the same: {both:?}"),
        Err(err) => {
            // What is not modelled is refused, even where RabbitMQ does not look at it.
            let is_same = is_same && err.fault() != Fault::Unsupported;
            let is_refusal = matches!(err.fault(), Fault::Mismatch | Fault::Locked | Fault::Unsupported);
            assert!(is_refusal && !is_same, "{err}: {both:?}");
        }
    }
}

/// Numbers are compared by what they are, not by how wide they are.
fn same(left: &Table, right: &Table) -> bool {
    let of = |table: &Table, name: &str| table.get(name).map(|value| value.as_i64().map_or(value.clone(), Value::I64));
    left.keys().chain(right.keys()).all(|name| of(left, name) == of(right, name))
}

/// A queue that goes with its connection survives no restart, whatever it is said to do.
fn same_flags(left: &Queue, right: &Queue) -> bool {
    let flags = |queue: &Queue| [queue.exclusive, queue.auto_delete, queue.durable && !queue.exclusive];
    flags(left) == flags(right)
}

/// The arguments that RabbitMQ compares: those that queues of the first one's type may have. No type is the classic one.
fn compared(queue: &Queue, first: &Queue) -> Table {
    let of_others: &[&str] = match first.queue_type() {
        Some("quorum") => &["x-max-priority", "x-queue-mode", "x-queue-version"],
        _ => &[
            "x-dead-letter-strategy",
            "x-delivery-limit",
            "x-consumer-timeout",
            "x-max-in-memory-length",
            "x-max-in-memory-bytes",
            "x-quorum-initial-group-size",
            "x-queue-leader-locator",
        ],
    };
    let mut arguments = queue.arguments.clone();
    arguments.retain(|name, _| !of_others.contains(&name.as_str()));
    arguments.entry("x-queue-type".into()).or_insert_with(|| "classic".into());
    arguments
}

fn queue(input: &mut Input<'_>) -> Queue {
    let mut queue = Queue::new(input.one_of(&["q", "q", "r", "", "amq.q"]));
    let flags = input.u8();
    (queue.durable, queue.exclusive, queue.auto_delete) = (flags & 1 == 0, flags & 2 != 0, flags & 4 != 0);
    queue.passive = flags & 0b1111_1000 == 0b1000_1000;
    queue.arguments = arguments(input);
    queue
}

fn exchange(input: &mut Input<'_>) -> Exchange {
    let kinds = [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];
    let kind = kinds.get(usize::from(input.u8() % 5)).cloned().unwrap_or_else(|| ExchangeKind::Other("x-random".into()));
    let mut exchange = Exchange::new(input.one_of(&["e", "f", "", "amq.direct"]), kind);
    let flags = input.u8();
    (exchange.durable, exchange.auto_delete, exchange.internal) = (flags & 1 == 0, flags & 2 != 0, flags & 4 != 0);
    exchange.passive = flags & 0b1111_1000 == 0b1000_1000;
    exchange.arguments = arguments(input);
    exchange
}

fn arguments(input: &mut Input<'_>) -> Table {
    (0..input.u8() % 5).map(|_| argument(input)).collect()
}

fn argument(input: &mut Input<'_>) -> (String, Value) {
    let name = if input.u8() % 8 == 0 { input.text() } else { input.one_of(&ARGUMENTS).to_owned() };
    let value = match input.u8() % 3 {
        0 => Value::from(input.one_of(&TEXTS)),
        1 => Value::I64(input.one_of(&[0, 1, 10, 255, 1 << 31, i64::MAX, -1])),
        _ => input.value(1),
    };
    (name, value)
}

/// The same but for what the input says.
fn changed_queue(input: &mut Input<'_>, queue: &Queue) -> Queue {
    let mut changed = queue.clone();
    change(input, &mut changed.arguments);
    match input.u8() % 16 {
        1 => changed.durable ^= true,
        2 => changed.exclusive ^= true,
        3 => changed.auto_delete ^= true,
        4 => changed.passive = true,
        5 => return self::queue(input),
        _ => {}
    }
    changed
}

fn changed_exchange(input: &mut Input<'_>, exchange: &Exchange) -> Exchange {
    let mut changed = exchange.clone();
    change(input, &mut changed.arguments);
    match input.u8() % 16 {
        1 => changed.durable ^= true,
        2 => changed.internal ^= true,
        3 => changed.auto_delete ^= true,
        4 => changed.passive = true,
        5 => return self::exchange(input),
        _ => {}
    }
    changed
}

fn change(input: &mut Input<'_>, arguments: &mut Table) {
    for value in arguments.values_mut() {
        if let Some(number) = value.as_i64() {
            *value = widened(input.u8(), number);
        }
    }
    match input.u8() % 8 {
        1 => drop(arguments.pop_first()),
        2 => arguments.extend([argument(input)]),
        3 => drop(arguments.insert("x-queue-type".into(), "classic".into())),
        _ => {}
    }
}

/// The number in another type that can hold it.
fn widened(choice: u8, number: i64) -> Value {
    let other = match choice % 6 {
        0 => i8::try_from(number).map(Value::I8).ok(),
        1 => u8::try_from(number).map(Value::U8).ok(),
        2 => i16::try_from(number).map(Value::I16).ok(),
        3 => u16::try_from(number).map(Value::U16).ok(),
        4 => i32::try_from(number).map(Value::I32).ok(),
        _ => u32::try_from(number).map(Value::U32).ok(),
    };
    other.unwrap_or(Value::I64(number))
}

/// A broker may say anything.
fn check_words(said: &str) {
    for prefix in ["", "PRECONDITION_FAILED - inequivalent arg '"] {
        let error = in_words("queue", "orders", Error::new(Fault::Mismatch, format!("{prefix}{said}")));
        assert_eq!(error.fault(), Fault::Mismatch);
        assert!(error.to_string().len() <= prefix.len() + said.len() + 100, "{error}");
    }
}
