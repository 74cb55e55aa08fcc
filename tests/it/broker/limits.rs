//! What a full queue does (<https://www.rabbitmq.com/docs/maxlength>).

mod bytes;
mod quorum;
mod refusing;
mod refusing_bytes;

use super::bench::{death, deaths, next, text, texts, Bench};

cases_by_queue_type![
    a_full_queue_drops_its_head,
    a_full_queue_sends_its_head_to_the_dead_letters,
    what_consumers_have_does_not_count,
    a_queue_of_no_length_passes_messages_on_to_who_waits,
    a_message_that_comes_back_to_a_full_queue_pushes_the_head_out,
    a_message_that_comes_back_to_a_full_quorum_queue_goes_to_who_waits,
];

fn a_full_queue_drops_its_head(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_length(2));
    bench.send(&queue, &["1", "2", "3", "4"]);

    bench.wait_for_ready(&queue, 2);
    bench.assert_holds(&queue, &["3", "4"]);
}

fn a_full_queue_sends_its_head_to_the_dead_letters(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().max_length(1).dead_letter_to("", &dead));
    bench.send(&queue, &["1", "2", "3"]);

    let messages = bench.take(&dead, 2);
    assert_eq!(texts(&messages), ["1", "2"]);
    assert_eq!(deaths(&messages[0]), [death(1, "maxlen", &queue, "", &[&queue])]);
    bench.assert_holds(&queue, &["3"]);
}

fn what_consumers_have_does_not_count(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_length(1));
    let seen = bench.connection.consume(&queue, 2, |inbox| {
        bench.send(&queue, &["1"]);
        let first = next(inbox);
        bench.send(&queue, &["2"]);
        let second = next(inbox);
        bench.send(&queue, &["3"]);
        inbox.ack_up_to(second.tag).unwrap();
        texts(&[first.message, second.message, next(inbox).message])
    });
    assert_eq!(seen.unwrap(), ["1", "2", "3"]);
}

fn a_queue_of_no_length_passes_messages_on_to_who_waits(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_length(0));
    bench.send(&queue, &["nobody waits"]);
    bench.wait_for_ready(&queue, 0);
    let seen = bench.connection.consume(&queue, 1, |inbox| {
        bench.send(&queue, &["somebody waits"]);
        text(&next(inbox).message)
    });
    assert_eq!(seen.unwrap(), "somebody waits");
}

fn a_message_that_comes_back_to_a_full_queue_pushes_the_head_out(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().max_length(1).dead_letter_to("", &dead));
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        bench.send(&queue, &["1"]);
        next(inbox);
        bench.send(&queue, &["2"]);
    });
    consumed.unwrap();

    assert_eq!(texts(&bench.take(&dead, 1)), ["1"]);
    bench.assert_holds(&queue, &["2"]);
}

fn a_message_that_comes_back_to_a_full_quorum_queue_goes_to_who_waits(bench: &Bench) {
    let queue = bench.declare(bench.queue().max_length(0));
    let seen = bench.connection.consume(&queue, 3, |waiting| {
        let consumed = bench.connection.consume(&queue, 3, |ending| {
            bench.send(&queue, &["1", "2"]);
            (text(&next(waiting).message), text(&next(ending).message))
        });
        bench.send(&queue, &["3"]);
        (consumed.unwrap(), text(&next(waiting).message))
    });
    // A classic queue looks at its length first.
    let again = if bench.is_quorum() { "2" } else { "3" };
    assert_eq!(seen.unwrap(), (("1".to_owned(), "2".to_owned()), again.to_owned()));
}
