//! Registrations that cannot work, each refused with what to do.

use super::{mode_c, noting, quick, Given};
use bootstep::steps::celery_message_consumer::{CeleryMessageConsumer, MessageHandler, Settings};
use bootstep::{ConsumerStep, Exchange, Fault, Message, Outcome};
use serde_json::Value as Json;

#[track_caller]
fn check(settings: Settings, handlers: Vec<MessageHandler>, expected: &str) {
    let mut step = CeleryMessageConsumer::new(settings);
    let (last, first) = {
        let mut handlers = handlers;
        (handlers.pop().unwrap(), handlers)
    };
    for handler in first {
        step.add(handler).unwrap();
    }
    let before = step.consumers().len();
    let err = step.add(last).map(drop).unwrap_err();
    assert_eq!(err.fault(), Fault::Config);
    assert!(err.to_string().contains(expected), "{err}");
    assert_eq!(step.consumers().len(), before, "nothing is half registered");
}

fn handler(key: &str) -> MessageHandler {
    noting(key, &Given::default())
}

fn of_both(first: &str, second: &str) -> MessageHandler {
    MessageHandler::for_each([first, second], |_: Json, _: &Message| Ok(Outcome::Ack))
}

#[test]
fn a_queue_has_one_handler() {
    let twice = "the queue `jobs` has a handler already";
    check(quick(), vec![handler("jobs"), handler("jobs")], twice);
    check(quick(), vec![handler("jobs"), of_both("other", "jobs")], twice);
    // There, messages would be split at random between the two.
    let settings = mode_c().exchange("other", Exchange::topic("other"));
    check(settings, vec![handler("jobs"), handler("else").exchange("other").queue("jobs")], twice);
}

#[test]
fn on_the_amqp_default_exchange_a_queue_is_named_by_its_key() {
    let named = "where a queue's name is its routing key; name an exchange from `EXCHANGES`";
    check(quick(), vec![handler("jobs").queue("mine")], named);
    check(quick().queue_name_prefix("p."), vec![handler("jobs")], named);
    check(quick().exchange("bare", Exchange::direct("")), vec![handler("jobs").exchange("bare").queue("mine")], named);
}

#[test]
fn several_keys_need_several_queues() {
    check(mode_c(), vec![of_both("one", "two").queue("mine")], "each key has a queue of its own");
    let none = MessageHandler::for_each(Vec::<String>::new(), |_: Json, _: &Message| Ok(Outcome::Ack));
    check(mode_c(), vec![none], "has no routing key");
}

#[test]
fn an_exchange_must_be_in_the_settings() {
    check(quick(), vec![handler("jobs").exchange("shop")], "`shop`, which is not in `EXCHANGES`: there are none");
    check(mode_c(), vec![handler("jobs").exchange("shop")], "not in `EXCHANGES`: there is `default`");
}

#[test]
fn a_queue_needs_a_name() {
    check(mode_c(), vec![handler("jobs").queue("")], "a queue without a name, to which no retry could come back");
}
