//! What becomes of a message by each response of its consumer, and what it publishes meanwhile.

use super::{config, dispatcher, start, Diary};
use crate::support::stage::Stage;
use bootstep::steps::amqp_dispatcher::{AlreadyResponded, Proxy};
use bootstep::{headers, BoxError, Message, Publication, Value};

crate::on_both!(
    each_response_does_what_it_says,
    what_was_published_is_out_whatever_becomes_of_the_message,
    a_publish_that_nobody_takes_is_an_error,
    a_rejected_message_goes_to_the_exchange_that_the_file_names,
    a_quorum_queue_is_consumed_as_any_other,
    bodies_that_are_no_text_are_handled_and_broken_messages_kept,
);

fn respond(proxy: &Proxy<'_>, message: &Message) -> Result<(), BoxError> {
    match message.body() {
        b"ack" => proxy.ack()?,
        b"nack" => proxy.nack()?,
        b"requeue" => proxy.reject(true)?,
        b"reject" => proxy.reject(false)?,
        b"fail" => return Err("no room".into()),
        b"panic" => panic!("no floor"),
        b"ack and fail" => {
            proxy.ack()?;
            return Err("too late".into());
        }
        _ => {}
    }
    Ok(())
}

fn each_response_does_what_it_says(stage: &Stage) {
    let diary = Diary::default();
    let seen = diary.clone();
    let dispatcher = dispatcher(move |proxy, message| {
        seen.note(String::from_utf8_lossy(message.body()));
        respond(proxy, message)
    });
    let _running = start(&dispatcher, &config("  prefetch_count: 10\n"), &stage.broker);
    stage.publish("work", &["ack", "nack", "requeue", "reject", "fail", "panic", "ack and fail", "nothing"]);

    // Two retries each, after a delay, and then the archive: nothing spins.
    let mut archived: Vec<(String, String)> = stage.take("work.archive", 4).iter().map(body_and_reason).collect();
    archived.sort();
    let expected = [
        ("fail", "no room"),
        ("nack", "the consumer nacked it"),
        ("panic", "panicked: no floor"),
        ("requeue", "the consumer rejected it, to be tried again"),
    ];
    assert_eq!(archived, expected.map(|(body, reason)| (body.to_owned(), reason.to_owned())));
    assert_eq!(body_and_reason(&stage.take("work.dead", 1)[0]), ("reject".into(), "the consumer rejected it".into()));
    let times = ["ack", "nack", "requeue", "reject", "fail", "panic", "ack and fail", "nothing"].map(|it| diary.count(it));
    assert_eq!(times, [1, 3, 3, 1, 3, 3, 1, 1]);
    stage.until("the queue is empty", || stage.ready("work") == 0);
}

fn body_and_reason(message: &Message) -> (String, String) {
    let reason = message.header(headers::REASON).and_then(Value::as_str).unwrap_or_default();
    (String::from_utf8_lossy(message.body()).into_owned(), reason.to_owned())
}

fn what_was_published_is_out_whatever_becomes_of_the_message(stage: &Stage) {
    stage.connection.declare_queue(&"told".into()).unwrap();
    let dispatcher = dispatcher(|proxy, message| {
        let headers = [("attempt".to_owned(), Value::from(i64::from(message.attempt())))].into();
        proxy.publish("", "told", headers, message.body())?;
        respond(proxy, message)
    });
    let _running = start(&dispatcher, &config(""), &stage.broker);
    stage.publish("work", &["reject", "nack", "fail", "ack"]);
    let told = stage.take("told", 1 + 3 + 3 + 1);
    let of = |body: &[u8]| told.iter().filter(|message| message.body() == body).count();
    assert_eq!([of(b"reject"), of(b"nack"), of(b"fail"), of(b"ack")], [1, 3, 3, 1]);
    assert!(told.iter().all(|message| message.properties().delivery_mode == Some(2)));
    assert!(told.iter().any(|message| message.header("attempt").and_then(Value::as_i64) == Some(3)));
}

fn a_publish_that_nobody_takes_is_an_error(stage: &Stage) {
    let diary = Diary::default();
    let seen = diary.clone();
    let dispatcher = dispatcher(move |proxy, _| {
        for exchange in ["", "nowhere"] {
            let refused = proxy.publish(exchange, "nobody", Default::default(), "x").unwrap_err();
            seen.note(format!("{:?}", refused.fault()));
        }
        Ok(proxy.reject(false)?)
    });
    let _running = start(&dispatcher, &config(""), &stage.broker);
    stage.publish("work", &["x"]);
    stage.take("work.dead", 1);
    assert_eq!(diary.events(), ["NotTaken", "NotTaken"]);
}

fn a_rejected_message_goes_to_the_exchange_that_the_file_names(stage: &Stage) {
    // Somebody else's queue, bound to somebody else's exchange.
    stage.connection.declare_queue(&bootstep::Queue::new("morgue").bind("amq.direct", "cold")).unwrap();
    let config = "\
queues:
- {queue: work, x_dead_letter_exchange: amq.direct, x_dead_letter_routing_key: cold}
- {queue: plain, x_dead_letter_exchange: '', x_dead_letter_routing_key: morgue}
consumers:
- {consumer: 'test:Consumer', queue: work}
- {consumer: 'test:Consumer', queue: plain}
";
    let _running = start(&dispatcher(respond), config, &stage.broker);
    stage.publish("work", &["reject"]);
    stage.publish("plain", &["reject"]);
    let dead = stage.take("morgue", 2);
    assert!(dead.iter().all(|message| message.header("x-death").is_some()), "the broker has dead-lettered them");
    let beside = bootstep::Queue::existing("work.dead");
    assert!(stage.connection.declare_queue(&beside).is_err(), "no further queue is needed");
}

fn a_quorum_queue_is_consumed_as_any_other(stage: &Stage) {
    let config = "\
queues:
- {queue: steady, x_queue_type: quorum}
consumers:
- {consumer: 'test:Consumer', queue: steady}
";
    let _running = start(&dispatcher(respond), config, &stage.broker);
    stage.publish("steady", &["ack", "fail", "reject"]);
    assert_eq!(body_and_reason(&stage.take("steady.archive", 1)[0]).0, "fail");
    assert_eq!(body_and_reason(&stage.take("steady.dead", 1)[0]).0, "reject");
}

fn bodies_that_are_no_text_are_handled_and_broken_messages_kept(stage: &Stage) {
    let diary = Diary::default();
    let seen = diary.clone();
    let dispatcher = dispatcher(move |_, message| {
        seen.note(format!("{:?}", message.body()));
        Ok(())
    });
    let _running = start(&dispatcher, &config("  prefetch_count: 10\n"), &stage.broker);
    let plain = |body: &[u8]| Publication::new("", "work", body.to_vec());
    let with = |name: &str, value: Value| {
        let mut odd = plain(b"odd");
        odd.properties = odd.properties.header(name, value);
        odd
    };
    let mut encoded = plain(b"encoded");
    encoded.properties.content_encoding = Some("klingon".into());
    let poison = [
        plain(b"{bad"),
        plain(b"\xff\xfe"),
        plain(b"").content_type("text/plain"),
        plain(b"{}").content_type("application/json; charset=latin-1"),
        with(headers::RETRIES, "many".into()),
        with(headers::RETRIES, (-7).into()),
        with("count", Value::I16(3)),
        encoded,
        plain(b"good"),
    ];
    stage.send(&poison).unwrap();
    stage.until("each was handled", || diary.events().len() == poison.len());
    stage.until("the queue is empty", || stage.ready("work") == 0);
    assert_eq!([stage.ready("work.dead"), stage.ready("work.archive")], [0, 0]);
}

/// Where nothing may be declared around a queue, or more is to be said of a consumer than the file can.
#[test]
fn a_consumer_can_be_told_more_than_the_file_says() {
    let stage = Stage::memory();
    let diary = Diary::default();
    let seen = diary.clone();
    let dispatcher = dispatcher(respond).with(move |consumer| {
        seen.note(consumer.queue().name.as_str());
        consumer.retry_layout(bootstep::RetryLayout::Bare)
    });
    let _running = start(&dispatcher, &config(""), &stage.broker);
    assert_eq!(diary.events().first().map(String::as_str), Some("work"));
    let around = ["work.retry.50ms", "work.archive", "work.dead"].map(bootstep::Queue::existing);
    assert!(around.iter().all(|queue| stage.connection.declare_queue(queue).is_err()));
}

/// A second terminal call is an error, whichever the two are.
#[test]
fn any_two_responses_are_one_too_many() {
    type Respond = fn(&Proxy<'_>) -> Result<(), AlreadyResponded>;
    let responses: [Respond; 4] =
        [|proxy| proxy.ack(), |proxy| proxy.nack(), |proxy| proxy.reject(true), |proxy| proxy.reject(false)];
    let message = Message::from_publication(Publication::new("", "work", "x"));
    for first in responses {
        for second in responses {
            let proxy = Proxy::detached(&message);
            assert!(!proxy.has_responded());
            assert_eq!(first(&proxy), Ok(()));
            assert_eq!(second(&proxy), Err(AlreadyResponded));
            assert!(proxy.has_responded());
        }
    }
    assert_eq!(AlreadyResponded.to_string().split(';').next(), Some("already responded to this message"));
}
