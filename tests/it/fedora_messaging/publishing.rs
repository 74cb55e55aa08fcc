//! Publishing as fedora-messaging's settings say, and what is said when that cannot be.

use super::{config, message};
use crate::support::stage::{Stage, SOON};
use bootstep::steps::fedora_messaging::{publish_exit_code_of, FedoraPublisher};
use bootstep::{Broker, Exchange, Fault, MemoryBroker, Queue, Value};
use std::time::Duration;

crate::on_both!(a_message_is_published_as_the_settings_say, an_exchange_that_is_not_there_is_told_at_once);

fn a_message_is_published_as_the_settings_say(stage: &Stage) {
    stage.connection.declare_exchange(&Exchange::topic("zmq.topic")).unwrap();
    stage.connection.declare_queue(&Queue::new("mine").bind("zmq.topic", "#")).unwrap();
    let settings = config("publish_exchange = 'zmq.topic'\ntopic_prefix = 'org.fedoraproject.'\npublish_priority = 4");
    let publisher = FedoraPublisher::on(stage.broker.clone(), &settings);
    publisher.publish(&message("a")).unwrap();
    let mut urgent = message("b");
    urgent.priority = Some(9);
    publisher.publish(&urgent).unwrap();
    let got = stage.take("mine", 2);
    let seen: Vec<_> = got.iter().map(|message| (message.routing_key(), message.properties().priority)).collect();
    assert_eq!(seen, [("org.fedoraproject.test.a", Some(4)), ("org.fedoraproject.test.b", Some(9))]);
    assert_eq!(got[0].header("priority"), Some(&Value::I32(4)));
    // Nobody is subscribed: that is no error.
    let elsewhere = FedoraPublisher::on(stage.broker.clone(), &config(""));
    elsewhere.publish(&message("c")).unwrap();
    assert_eq!((publisher.published(), elsewhere.published()), (2, 1));
}

fn an_exchange_that_is_not_there_is_told_at_once(stage: &Stage) {
    let publisher = FedoraPublisher::on(stage.broker.clone(), &config("publish_exchange = 'nowhere'"));
    for _ in 0..2 {
        let err = publisher.publish(&message("a")).unwrap_err();
        assert_eq!((err.fault(), publish_exit_code_of(&err)), (Fault::NotFound, 121));
        assert!(err.to_string().starts_with("the exchange `nowhere` (`publish_exchange`) is not on the broker"), "{err}");
    }
    stage.connection.declare_exchange(&Exchange::topic("nowhere")).unwrap();
    publisher.publish(&message("a")).unwrap();
}

#[test]
fn a_lost_connection_is_opened_again() {
    let memory = MemoryBroker::new();
    let publisher = FedoraPublisher::on(Broker::from(&memory), &config("")).within(SOON);
    publisher.publish(&message("a")).unwrap();
    memory.sever();
    publisher.publish(&message("b")).unwrap();
    assert_eq!(publisher.published(), 2);
}

#[test]
fn a_broker_that_is_away_is_waited_for_and_no_longer_than_said() {
    let publisher = FedoraPublisher::on(Broker::amqp("amqp://127.0.0.1:1").unwrap(), &config(""));
    let err = publisher.within(Duration::from_millis(700)).publish(&message("a")).unwrap_err();
    assert_eq!(publish_exit_code_of(&err), 111);
    assert!(err.to_string().starts_with("a message was not published within 700ms"), "{err}");
}

#[test]
fn a_broker_that_accepts_and_says_nothing_is_waited_for_no_longer_either() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = Broker::amqp(&format!("amqp://127.0.0.1:{}", silent.local_addr().unwrap().port())).unwrap();
    let publisher = FedoraPublisher::on(broker, &config("")).within(Duration::from_millis(700));
    let begun = std::time::Instant::now();
    let publishing = [0; 3].map(|_| {
        let publisher = publisher.clone();
        std::thread::spawn(move || publisher.publish(&message("a")).unwrap_err())
    });
    for err in publishing {
        assert_eq!(publish_exit_code_of(&err.join().unwrap()), 111);
    }
    // One attempt to connect alone would take ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
}
