//! B1: what a service declares, compared with what celery-amqp-events declares: in both orders, and on RabbitMQ entry by entry.

use super::{failing, service};
use crate::support::listed::stage_to_list;
use crate::support::stage::{Stage, SOON};
use bootstep::steps::celery_amqp_events::{EventPublisher, Service, Settings};
use bootstep::{Exchange, Queue, Table, Topology, Value, Worker};

crate::on_both!(python_may_have_declared_it_before, python_may_declare_it_after);

/// Word for word what the Python package declares for a service that handles `order.paid`.
fn as_python_declares(service: &str, retries: u32) -> Topology {
    let with = |name: String, arguments: &[(&str, Value)]| {
        let mut queue = Queue::new(name);
        queue.arguments = arguments.iter().map(|(name, value)| (name.to_string(), value.clone())).collect::<Table>();
        queue
    };
    let mut topology = Topology::default().exchange(Exchange::topic("events"));
    let recover = format!("{service}:recover");
    let mut event = with(format!("{service}.order.paid"), &[]).bind("events", "order.paid");
    if retries > 0 {
        event = event.argument("x-dead-letter-exchange", format!("{service}:retry")).bind(&*recover, "order.paid");
        topology = topology.exchange(Exchange::topic(&*recover));
    }
    for place in 0..retries {
        let name = if place == 0 { format!("{service}:retry") } else { format!("{service}:retry.{place}") };
        let arguments = [("x-message-ttl", Value::I32(1000 << place)), ("x-dead-letter-exchange", recover.as_str().into())];
        topology = topology.exchange(Exchange::fanout(&*name)).queue(with(name.clone(), &arguments).bind(name, ""));
    }
    let bounds = [("x-message-ttl", 604_800_000.into()), ("x-max-length", 10_000.into()), ("x-queue-mode", "lazy".into())];
    let archived = format!("{service}:archived");
    topology = topology.exchange(Exchange::fanout(&*archived));
    topology.queue(with(archived.clone(), &bounds).bind(archived, "")).queue(event)
}

fn with_retries(name: &str, retries: u32) -> Service {
    failing(name, Settings::default().max_retries(retries)).0
}

const SERVICES: [(&str, u32); 3] = [("ten", 10), ("two", 2), ("zero", 0)];

fn python_may_have_declared_it_before(stage: &Stage) {
    for (name, retries) in SERVICES {
        stage.connection.declare(&as_python_declares(name, retries)).unwrap();
        assert_eq!(stage.start(with_retries(name, retries)).stop(), 0);
    }
}

fn python_may_declare_it_after(stage: &Stage) {
    for (name, retries) in SERVICES {
        assert_eq!(stage.start(with_retries(name, retries)).stop(), 0);
        // A declaration that differs in anything is a 406, whoever comes second.
        stage.connection.declare(&as_python_declares(name, retries)).unwrap();
    }
    let mut other = as_python_declares("two", 2);
    other.queues[0].arguments.insert("x-message-ttl".into(), 2000.into());
    assert!(stage.connection.declare(&other).is_err(), "this broker compares");
}

/// The whole table, as RabbitMQ has it.
#[test]
fn everything_is_on_the_broker_as_the_contract_says_and_nothing_else() {
    let (stage, listing) = stage_to_list();
    let mut worker = Worker::new(stage.broker.clone()).drain_within(SOON);
    let (silent, _) = service("silent", Settings::default());
    worker.steps.add(with_retries("two", 2)).add(with_retries("zero", 0)).add(EventPublisher::of(&silent));
    assert_eq!(worker.start().unwrap().stop(), 0);
    let archive = "durable x-max-length=10000 x-message-ttl=604800000 x-queue-mode=lazy";
    let expected = [
        "two.order.paid durable x-dead-letter-exchange=two:retry",
        &format!("two:archived {archive}"),
        "two:retry durable x-dead-letter-exchange=two:recover x-message-ttl=1000",
        "two:retry.1 durable x-dead-letter-exchange=two:recover x-message-ttl=2000",
        "zero.order.paid durable",
        &format!("zero:archived {archive}"),
    ];
    assert_eq!(listing.queues(), expected);
    let expected = [
        "events topic durable",
        "two:archived fanout durable",
        "two:recover topic durable",
        "two:retry fanout durable",
        "two:retry.1 fanout durable",
        "zero:archived fanout durable",
    ];
    assert_eq!(listing.exchanges(), expected);
    let expected = [
        "events order.paid > two.order.paid",
        "events order.paid > zero.order.paid",
        "two:archived  > two:archived",
        "two:recover order.paid > two.order.paid",
        "two:retry  > two:retry",
        "two:retry.1  > two:retry.1",
        "zero:archived  > zero:archived",
    ];
    assert_eq!(listing.bindings(), expected);
}
