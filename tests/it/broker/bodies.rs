//! That a body arrives byte for byte, whatever its size, and messages in the order they were sent.

use super::bench::{texts, Bench, SOON};
use bootstep::Publication;

cases_by_queue_type![
    an_empty_body_arrives,
    a_body_of_every_byte_arrives,
    a_body_larger_than_a_frame_arrives,
    messages_arrive_in_the_order_they_were_sent,
];

fn an_empty_body_arrives(bench: &Bench) {
    check(bench, Vec::new());
}

fn a_body_of_every_byte_arrives(bench: &Bench) {
    check(bench, (0..=255).collect());
}

fn a_body_larger_than_a_frame_arrives(bench: &Bench) {
    // A frame holds 128 KiB at most; no period divides that, so that a frame lost or swapped shows.
    check(bench, (0..1024 * 1024).map(|place: u32| (place % 251) as u8).collect());
}

#[track_caller]
fn check(bench: &Bench, body: Vec<u8>) {
    let queue = bench.declare(bench.queue());
    bench.publish(Publication::new("", &queue, body.clone()));
    // Not by `assert_eq`: nobody wants to read a mebibyte.
    assert!(bench.take_one(&queue).body() == body);
}

fn messages_arrive_in_the_order_they_were_sent(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let bodies: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let publications: Vec<_> = bodies.iter().map(|body| Publication::new("", &queue, body.as_str())).collect();
    bench.connection.publish(&publications, SOON).unwrap();

    assert_eq!(texts(&bench.take(&queue, 200)), bodies);
}
