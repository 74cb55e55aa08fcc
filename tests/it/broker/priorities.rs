//! Messages that overtake others, on classic queues that allow it (<https://www.rabbitmq.com/docs/priority>).

use super::bench::{next, text, texts, Bench};
use bootstep::{Properties, Publication};
use std::time::Duration;

cases![
    what_is_more_important_comes_first_and_in_order_among_its_like,
    no_priority_is_the_lowest_and_too_high_a_one_the_highest,
    a_requeued_message_goes_back_to_its_place_among_its_like,
    what_is_important_overtakes_what_waits,
    an_expired_message_waits_behind_what_is_more_important,
    a_full_queue_drops_the_most_important_first,
    a_full_queue_that_refuses_refuses_what_is_important_as_well,
];

const SHORT: Duration = Duration::from_millis(30);

fn of_priority(queue: &str, body: &str, priority: Option<u8>) -> Publication {
    let mut properties = Properties::persistent("text/plain");
    properties.priority = priority;
    Publication::new("", queue, body).with(properties)
}

/// Sends each under the priority that its body starts with.
fn send(bench: &Bench, queue: &str, bodies: &[&str]) {
    for body in bodies {
        bench.publish(of_priority(queue, body, body[..1].parse().ok()));
    }
}

fn what_is_more_important_comes_first_and_in_order_among_its_like(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_priority(5));
    send(bench, &queue, &["1 a", "5 a", "3 a", "5 b", "1 b"]);
    bench.assert_holds(&queue, &["5 a", "5 b", "3 a", "1 a", "1 b"]);
}

fn no_priority_is_the_lowest_and_too_high_a_one_the_highest(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_priority(2));
    send(bench, &queue, &["none", "0", "9", "2", "1"]);
    bench.assert_holds(&queue, &["9", "2", "1", "none", "0"]);
}

fn a_requeued_message_goes_back_to_its_place_among_its_like(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_priority(2));
    send(bench, &queue, &["2 a", "2 b", "1 a"]);
    let consumed = bench.connection.consume(&queue, 2, |inbox| {
        let (first, second) = (next(inbox), next(inbox));
        send(bench, &queue, &["2 c"]);
        bench.wait_for_ready(&queue, 2);
        inbox.requeue(second.tag).unwrap();
        let again = next(inbox);
        assert!(again.message.is_redelivered());
        texts(&[first.message, second.message, again.message])
    });
    assert_eq!(consumed.unwrap(), ["2 a", "2 b", "2 b"]);
    bench.wait_for_ready(&queue, 4);
    bench.assert_holds(&queue, &["2 a", "2 b", "2 c", "1 a"]);
}

fn what_is_important_overtakes_what_waits(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_priority(9));
    send(bench, &queue, &["1 a", "1 b"]);
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        let first = next(inbox);
        send(bench, &queue, &["7"]);
        inbox.ack(first.tag).unwrap();
        text(&next(inbox).message)
    });
    assert_eq!(consumed.unwrap(), "7");
}

fn an_expired_message_waits_behind_what_is_more_important(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().max_priority(2).dead_letter_to("", &dead));
    let sentinels = bench.declare(bench.queue().message_ttl(SHORT).dead_letter_to("", &dead));
    let mut expiring = of_priority(&queue, "1", Some(1));
    expiring.properties.expiration = Some((SHORT / 2).as_millis().to_string());
    send(bench, &queue, &["2"]);
    bench.publish(expiring);
    // This one expires later, and is there first.
    bench.send(&sentinels, &["sentinel"]);
    bench.let_pass(SHORT);
    assert_eq!(text(&bench.take_one(&dead)), "sentinel");

    assert_eq!(text(&bench.take_one(&queue)), "2");
    assert_eq!(text(&bench.take_one(&dead)), "1");
}

fn a_full_queue_drops_the_most_important_first(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().max_priority(5).max_length(2).dead_letter_to("", &dead));
    send(bench, &queue, &["1", "3", "2", "5"]);

    assert_eq!(texts(&bench.take(&dead, 2)), ["3", "5"]);
    bench.assert_holds(&queue, &["2", "1"]);
}

fn a_full_queue_that_refuses_refuses_what_is_important_as_well(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_priority(5).max_length(1).overflow("reject-publish"));
    send(bench, &queue, &["1"]);
    let important = of_priority(&queue, "5", Some(5));
    let refused = bench.connection.publish(&[important], super::bench::SOON);
    super::bench::assert_fault(refused, bootstep::Fault::NotTaken);
    bench.assert_holds(&queue, &["1"]);
}
