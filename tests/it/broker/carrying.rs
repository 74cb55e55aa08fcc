//! What AMQP can carry arrives, to the last byte of a limit; one byte more is refused before it is sent.

use super::bench::{assert_fault, Bench, SOON};
use bootstep::{Fault, Properties, Publication, Table, Value};

cases_by_queue_type![
    headers_nested_as_deep_as_can_be_read_arrive,
    headers_as_large_as_a_frame_arrive,
    short_texts_of_255_bytes_arrive,
    a_headers_name_of_255_bytes_arrives,
    numbers_that_are_not_finite_are_not_sent,
    what_is_refused_leaves_the_connection_and_the_others_alone,
];

/// Arrays within one another, that many.
fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

/// Publishes with these properties; answers the fault if it was refused, else takes the message and compares.
#[track_caller]
fn carried(bench: &Bench, queue: &str, properties: &Properties) -> Result<(), Fault> {
    let publication = Publication::new("", queue, "body").with(properties.clone());
    bench.connection.publish(&[publication], SOON).map_err(|err| err.fault())?;
    assert_eq!(bench.take_one(queue).properties(), properties);
    Ok(())
}

#[track_caller]
fn check(bench: &Bench, fits: &Properties, too_much: &Properties) {
    let queue = bench.declare(bench.queue());
    assert_eq!(carried(bench, &queue, fits), Ok(()));
    assert_eq!(carried(bench, &queue, too_much), Err(Fault::NotTaken));
    assert_eq!(carried(bench, &queue, fits), Ok(()));
}

fn headers_nested_as_deep_as_can_be_read_arrive(bench: &Bench) {
    let of = |levels| Properties::default().header("deep", nested(levels));
    // The table of the headers is one level itself.
    check(bench, &of(63), &of(64));
}

fn headers_as_large_as_a_frame_arrive(bench: &Bench) {
    // In a frame of 131,072 bytes: 8 around it, 14 of the content header, 4 for the length of the table, 5 for the name, 5 for
    // the type and length of the value.
    let room = 131_072 - 8 - 14 - 4 - 5 - 5;
    let of = |length| Properties::default().header("name", "x".repeat(length));
    check(bench, &of(room), &of(room + 1));
}

fn short_texts_of_255_bytes_arrive(bench: &Bench) {
    let of = |length: usize| {
        let text = || Some("é".repeat(length / 2) + &"e".repeat(length % 2));
        let mut properties = Properties::default();
        properties.content_type = text();
        properties.correlation_id = text();
        properties.message_id = text();
        properties.app_id = text();
        properties
    };
    check(bench, &of(255), &of(256));
    let queue = bench.declare(bench.queue());
    assert_fault(bench.connection.publish(&[Publication::new("", "k".repeat(256), "lost")], SOON), Fault::NotTaken);
    bench.assert_holds(&queue, &[]);
}

fn a_headers_name_of_255_bytes_arrives(bench: &Bench) {
    let of = |length: usize| Properties::default().header("n".repeat(length), 1);
    check(bench, &of(255), &of(256));
    let within = |length: usize| Properties::default().header("table", Table::from([("n".repeat(length), Value::Null)]));
    check(bench, &within(255), &within(256));
}

fn numbers_that_are_not_finite_are_not_sent(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    // RabbitMQ closes the connection over these.
    for value in [Value::F32(f32::INFINITY), Value::F64(f64::NAN), Value::Array(vec![Value::F64(f64::NEG_INFINITY)])] {
        let properties = Properties::default().header("number", value);
        assert_eq!(carried(bench, &queue, &properties), Err(Fault::NotTaken));
    }
}

fn what_is_refused_leaves_the_connection_and_the_others_alone(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let unfit = Publication::new("", &queue, "unfit").content_type("t".repeat(300));
    let err = bench.connection.publish(&[Publication::new("", &queue, "1"), unfit], SOON).unwrap_err();
    assert!(err.to_string().contains("its content type has 300 bytes, and AMQP carries 255"), "{err}");
    bench.send(&queue, &["2"]);
    bench.assert_holds(&queue, &["1", "2"]);
}
