//! What cannot be is told before anything is published or declared, and all of it at once.

use super::{service, Paid, PAID};
use bootstep::steps::celery_amqp_events::{EventPublisher, Service, Settings};
use bootstep::{Fault, MemoryBroker, Message, Outcome, Worker};

fn ignore(_: Paid, _: &Message) -> Result<Outcome, bootstep::BoxError> {
    Ok(Outcome::Ack)
}

#[test]
fn a_second_handler_for_an_event_is_refused_by_name() {
    let (mut shop, event) = service("shop", Settings::default());
    shop.on(&event, ignore).unwrap();
    let err = shop.on(&event, ignore).err().unwrap();
    assert_eq!(err.fault(), Fault::Config);
    assert!(err.to_string().starts_with("the service `shop` handles the event `order.paid` already"), "{err}");
    let (mut ledger, _) = service("ledger", Settings::default());
    ledger.on(&event, ignore).unwrap();
}

#[test]
fn wildcards_are_refused_with_the_reason() {
    let (shop, _) = service("shop", Settings::default());
    for name in ["order.*", "#", "order.#.paid"] {
        let err = shop.event::<Paid>(name).err().unwrap();
        assert!(err.to_string().starts_with(&format!("the event `{name}` has a wildcard: ")), "{err}");
    }
    assert!(shop.event::<Paid>("").is_err());
    assert!(shop.event::<Paid>("order.5*").is_ok(), "that is a word like any other");
}

#[test]
fn settings_that_cannot_be_are_named_all_at_once() {
    let settings = Settings::default().max_retries(24).archived_message_ttl_ms(1 << 32).exchange("");
    let err = Service::new("", settings).err().unwrap().to_string();
    for part in ["a name, and this one is empty", "`max_retries` is 24", "`archived_message_ttl_ms` is 4294967296"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert!(err.contains("`exchange` is empty"), "{err}");
    assert!(Service::new("shop", Settings::default().max_retries(23)).is_ok());
}

#[test]
fn variables_are_read_as_the_python_package_reads_them_and_wrong_ones_are_named() {
    let read = |values: &[(&str, &str)]| {
        let value_of = |name: &str| values.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_string());
        Settings::from_variables(value_of)
    };
    assert_eq!(read(&[]).unwrap(), Settings::default());
    let all = [
        ("AMQP_EVENTS_MAX_RETRIES", " 0 "),
        ("AMQP_EVENTS_ARCHIVED_MESSAGE_TTL", "60000"),
        ("AMQP_EVENTS_ARCHIVED_QUEUE_LENGTH", "5"),
    ];
    let expected = Settings::default().max_retries(0).archived_message_ttl_ms(60_000).archived_queue_length(5);
    assert_eq!(read(&all).unwrap(), expected);
    let wrong = [
        ("AMQP_EVENTS_MAX_RETRIES", "-1"),
        ("AMQP_EVENTS_ARCHIVED_MESSAGE_TTL", "a week"),
        ("AMQP_EVENTS_ARCHIVED_QUEUE_LENGTH", ""),
    ];
    let err = read(&wrong).unwrap_err();
    assert_eq!(err.fault(), Fault::Config);
    for (name, value) in wrong {
        assert!(err.to_string().contains(&format!("`{name}` is `{value}`")), "{err}");
    }
    assert!(read(&[("AMQP_EVENTS_MAX_RETRIES", "24")]).unwrap_err().to_string().contains("from 0 to 23"));
}

#[test]
fn one_bound_of_the_archive_can_be_left_out() {
    let memory = MemoryBroker::new();
    let (mut shop, event) = service("shop", Settings::default().archived_message_ttl_ms(0));
    shop.on(&event, ignore).unwrap();
    let mut worker = Worker::new((&memory).into());
    worker.steps.add(shop);
    let running = worker.start().unwrap();
    let archive = bootstep::Queue::new("shop:archived").max_length(10_000).argument("x-queue-mode", "lazy");
    memory.declare_queue(&archive).unwrap();
    assert_eq!(running.stop(), 0);
}

#[test]
fn an_event_that_is_not_valid_is_published_nowhere() {
    let (shop, event) = service("shop", Settings::default());
    let event = event.validate(|paid| if paid.amount > 0.0 { Ok(()) } else { Err("nothing was paid".into()) });
    let worthless = Paid { amount: 0.0, ..PAID };
    let message = Message::from_publication(event.task(&PAID).unwrap().to_publication("events", "order.paid"));
    assert_eq!(event.send(&message, &worthless).unwrap_err().to_string(), "nothing was paid");
    assert!(message.published().is_empty());
    event.send(&message, &PAID).unwrap();
    assert_eq!(message.published()[0].routing_key, "order.paid");
    let single = shop.event::<u64>("order.paid").unwrap().task(&7).unwrap_err();
    assert!(single.to_string().contains("no single value"), "{single}");
}

#[test]
fn a_publisher_whose_worker_does_not_run_says_so() {
    let (shop, event) = service("shop", Settings::default());
    let err = event.publish(&EventPublisher::of(&shop), &PAID).unwrap_err();
    assert!(err.to_string().starts_with("the step `publish-events(shop)` has not started"), "{err}");
}
