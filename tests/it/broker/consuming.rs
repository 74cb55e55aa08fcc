//! Who gets which message, and what settling it does.

use super::bench::{deaths, next, text, texts, Bench, SOON};
use bootstep::{Inbox, Letter};

cases_by_queue_type![
    no_more_is_out_than_the_prefetch,
    the_prefetch_is_each_consumers_own,
    what_is_acked_is_gone,
    an_ack_up_to_a_message_takes_all_before_it,
    an_ack_up_to_a_message_leaves_alone_what_was_rejected_before,
    what_is_not_settled_goes_back_in_order_when_its_consumer_ends,
    what_is_left_makes_room_for_more_and_goes_back_when_the_queue_is_let_go,
    two_consumers_take_turns,
    what_a_closed_connection_had_another_consumer_gets,
];

fn no_more_is_out_than_the_prefetch(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2", "3", "4"]);

    let seen = bench.connection.consume(&queue, 2, |inbox| {
        let (first, second) = (next(inbox), next(inbox));
        bench.wait_for_ready(&queue, 2);
        inbox.ack(first.tag).unwrap();
        let third = next(inbox);
        bench.wait_for_ready(&queue, 1);
        texts(&[first.message, second.message, third.message])
    });
    assert_eq!(seen.unwrap(), ["1", "2", "3"]);
}

fn the_prefetch_is_each_consumers_own(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2", "3", "4"]);

    let consumed = bench.connection.consume(&queue, 1, |first| {
        let one = next(first);
        let inner = bench.connection.consume(&queue, 2, |second| {
            let more = [next(second), next(second)].map(|letter| letter.message);
            bench.wait_for_ready(&queue, 1);
            texts(&more)
        });
        (text(&one.message), inner.unwrap())
    });
    assert_eq!(consumed.unwrap(), ("1".to_owned(), vec!["2".to_owned(), "3".to_owned()]));
}

fn what_is_acked_is_gone(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2", "3"]);
    let consumed = bench.connection.consume(&queue, 3, |inbox| {
        let letters = [next(inbox), next(inbox), next(inbox)];
        inbox.ack(letters[1].tag).unwrap();
    });
    consumed.unwrap();

    bench.wait_for_ready(&queue, 2);
    bench.assert_holds(&queue, &["1", "3"]);
}

fn an_ack_up_to_a_message_takes_all_before_it(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2", "3", "4"]);
    let consumed = bench.connection.consume(&queue, 4, |inbox| {
        let letters: Vec<Letter> = (0..4).map(|_| next(inbox)).collect();
        inbox.ack_up_to(letters[2].tag).unwrap();
    });
    consumed.unwrap();

    bench.wait_for_ready(&queue, 1);
    bench.assert_holds(&queue, &["4"]);
}

fn an_ack_up_to_a_message_leaves_alone_what_was_rejected_before(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().dead_letter_to("", &dead));
    bench.send(&queue, &["1", "2", "3"]);
    let consumed = bench.connection.consume(&queue, 3, |inbox| {
        let letters: Vec<Letter> = (0..3).map(|_| next(inbox)).collect();
        inbox.reject(letters[0].tag).unwrap();
        inbox.ack_up_to(letters[2].tag).unwrap();
    });
    consumed.unwrap();

    let rejected = bench.take_one(&dead);
    assert_eq!((text(&rejected).as_str(), deaths(&rejected).len()), ("1", 1));
    bench.assert_holds(&queue, &[]);
    bench.assert_holds(&dead, &[]);
}

fn what_is_not_settled_goes_back_in_order_when_its_consumer_ends(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2", "3"]);
    let consumed = bench.connection.consume(&queue, 3, |inbox| {
        let letters: Vec<Letter> = (0..3).map(|_| next(inbox)).collect();
        inbox.ack(letters[1].tag).unwrap();
    });
    consumed.unwrap();
    bench.wait_for_ready(&queue, 2);
    bench.send(&queue, &["4"]);

    let messages = bench.take(&queue, 3);
    assert_eq!(texts(&messages), ["1", "3", "4"]);
    let redelivered: Vec<bool> = messages.iter().map(|message| message.is_redelivered()).collect();
    assert_eq!(redelivered, [true, true, false]);
}

fn what_is_left_makes_room_for_more_and_goes_back_when_the_queue_is_let_go(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let bodies: Vec<String> = (1..=7).map(|number| number.to_string()).collect();
    bench.send(&queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let seen = bench.connection.consume(&queue, 2, |inbox| {
        let mut seen = Vec::new();
        for prefetch in [3, 2, 1] {
            // The first time with one that is here and not read yet.
            seen.push(next(inbox));
            inbox.more(prefetch).unwrap();
        }
        bench.wait_for_ready(&queue, 0);
        seen.extend((0..4).map(|_| next(inbox)));
        inbox.ack(seen[3].tag).unwrap();
        seen.iter().enumerate().filter(|(place, _)| *place != 3).for_each(|(_, letter)| inbox.leave(letter.tag));
        seen.into_iter().map(|letter| text(&letter.message)).collect::<Vec<_>>()
    });
    assert_eq!(seen.unwrap(), bodies);

    bench.wait_for_ready(&queue, 6);
    assert_eq!(texts(&bench.take(&queue, 6)), ["1", "2", "3", "5", "6", "7"]);
}

fn two_consumers_take_turns(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let consumed = bench.connection.consume(&queue, 10, |first| {
        let inner = bench.connection.consume(&queue, 10, |second| {
            bench.send(&queue, &["1", "2", "3", "4"]);
            let got = |inbox: &mut Inbox<'_>| texts(&[next(inbox).message, next(inbox).message]);
            (got(first), got(second))
        });
        inner.unwrap()
    });
    let (first, second) = consumed.unwrap();
    assert_eq!((first, second), (vec!["1".to_owned(), "3".to_owned()], vec!["2".to_owned(), "4".to_owned()]));
}

fn what_a_closed_connection_had_another_consumer_gets(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1"]);
    let other = bench.broker.connect("another").unwrap();
    let consumed = other.consume(&queue, 1, |theirs| {
        assert_eq!(text(&next(theirs).message), "1");
        let inner = bench.connection.consume(&queue, 1, |ours| {
            other.close(SOON);
            let message = next(ours).message;
            (text(&message), message.is_redelivered())
        });
        inner.unwrap()
    });
    assert_eq!(consumed.unwrap(), ("1".to_owned(), true));
}
