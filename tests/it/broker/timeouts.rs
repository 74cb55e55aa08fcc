//! What becomes of a consumer that holds a message for too long (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).

use super::bench::{next, text, Bench};
use bootstep::{Fault, Queue};
use std::time::Duration;

quorum_cases![who_holds_a_message_too_long_loses_it, who_acks_in_time_keeps_its_channel];

const TIMEOUT: Duration = Duration::from_secs(1);

/// 3.10 knows only a timeout of the whole node and ignores this argument; up to 4.2 the broker looks but once a minute.
fn quick_queue(bench: &Bench) -> Option<Queue> {
    let server = bench.connection.server();
    let is_quick = !server.starts_with("RabbitMQ") || bench.is_rabbitmq_from(4, 3);
    is_quick.then(|| bench.queue().argument("x-consumer-timeout", TIMEOUT.as_millis() as i64))
}

fn who_holds_a_message_too_long_loses_it(bench: &Bench) {
    let Some(queue) = quick_queue(bench) else { return };
    let queue = bench.declare(queue);
    bench.send(&queue, &["1", "2"]);
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        next(inbox);
        bench.let_pass(TIMEOUT);
        inbox.next(TIMEOUT * 10).unwrap_err()
    });
    let err = consumed.unwrap();
    if bench.is_rabbitmq_from(4, 3) {
        // From there on only the consumer is cancelled.
        assert_eq!(
            (err.fault(), err.to_string()),
            (Fault::NotFound, format!("the broker cancelled the consumer of `{queue}`"))
        );
    } else {
        let text = err.to_string();
        assert_eq!(err.fault(), Fault::ChannelClosed);
        assert!(
            text.starts_with("the broker closed the channel: 406 PRECONDITION_FAILED - delivery acknowledgement"),
            "{text}"
        );
        assert!(text.contains("timed out. Timeout value used: 1000 ms."), "{text}");
    }

    let again = bench.take(&queue, 2).remove(0);
    assert_eq!((text(&again), again.is_redelivered()), ("1".to_owned(), true));
}

fn who_acks_in_time_keeps_its_channel(bench: &Bench) {
    let Some(queue) = quick_queue(bench) else { return };
    let queue = bench.declare(queue);
    bench.send(&queue, &["1", "2", "3"]);
    let consumed = bench.connection.consume(&queue, 2, |inbox| {
        let (first, second) = (next(inbox), next(inbox));
        bench.let_pass(TIMEOUT / 2);
        inbox.ack(first.tag).unwrap();
        let third = next(inbox);
        inbox.ack(second.tag).unwrap();
        // The third has been out for less than the others would have been.
        bench.let_pass(TIMEOUT / 2);
        inbox.ack(third.tag).unwrap();
        bench.send(&queue, &["4"]);
        text(&next(inbox).message)
    });
    assert_eq!(consumed.unwrap(), "4");
}
