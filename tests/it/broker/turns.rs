//! Whose turn it is among several consumers (<https://www.rabbitmq.com/docs/consumers>).

use super::bench::{assert_fault, next, text, Bench, SOON};
use bootstep::{Fault, Inbox, Queue, Subscribe};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

cases_by_queue_type![
    a_consumer_of_higher_priority_gets_everything_while_it_has_room,
    who_had_no_room_goes_behind_those_who_had,
    who_had_no_room_when_alone_goes_behind_those_who_came_since,
    a_single_active_consumer_gets_everything,
    when_the_single_active_consumer_ends_the_next_takes_over_what_it_had,
    among_those_who_wait_to_be_the_single_active_consumer,
    what_the_single_active_consumer_had_comes_before_or_after_what_is_ready,
    only_a_classic_queue_counts_those_who_wait_to_be_the_single_active_consumer,
    an_exclusive_consumer_is_alone,
];

fn with_priority(prefetch: u16, priority: i32) -> Subscribe {
    Subscribe::new().prefetch(prefetch).priority(priority)
}

#[track_caller]
fn got(inbox: &mut Inbox<'_>) -> String {
    text(&next(inbox).message)
}

/// Nothing is on its way: whatever was to come has come, because something later has.
#[track_caller]
fn assert_nothing(inbox: &mut Inbox<'_>) {
    assert_eq!(inbox.next(Duration::from_millis(50)).unwrap().map(|letter| text(&letter.message)), None);
}

fn a_consumer_of_higher_priority_gets_everything_while_it_has_room(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let consumed = bench.connection.consume_with(&queue, &with_priority(5, 0), |low| {
        let inner = bench.connection.consume_with(&queue, &with_priority(2, 10), |high| {
            bench.send(&queue, &["1", "2", "3", "4"]);
            let first = next(high);
            assert_eq!((text(&first.message), got(high)), ("1".into(), "2".into()));
            assert_eq!((got(low), got(low)), ("3".into(), "4".into()));
            high.ack(first.tag).unwrap();
            bench.send(&queue, &["5"]);
            got(high)
        });
        inner.unwrap()
    });
    assert_eq!(consumed.unwrap(), "5");
}

fn who_had_no_room_goes_behind_those_who_had(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let consumed = bench.connection.consume(&queue, 1, |small| {
        let inner = bench.connection.consume(&queue, 10, |large| {
            bench.send(&queue, &["1", "2", "3"]);
            let first = next(small);
            let (second, third) = (got(large), got(large));
            small.ack(first.tag).unwrap();
            // The ack must have been seen before the next message comes.
            bench.wait_for_ready(&queue, 0);
            bench.send(&queue, &["4"]);
            bench.send(&queue, &["5"]);
            [text(&first.message), second, third, got(large), got(small)]
        });
        inner.unwrap()
    });
    assert_eq!(consumed.unwrap(), ["1", "2", "3", "4", "5"]);
}

fn who_had_no_room_when_alone_goes_behind_those_who_came_since(bench: &Bench) {
    // What nobody has room for is dropped, so that whoever comes gets nothing yet.
    let queue = bench.declare(bench.queue().max_length(0));
    let consumed = bench.connection.consume(&queue, 1, |early| {
        bench.send(&queue, &["1", "2"]);
        let first = next(early);
        let inner = bench.connection.consume(&queue, 10, |late| {
            early.ack(first.tag).unwrap();
            bench.wait_for_ready(&queue, 0);
            bench.send(&queue, &["3"]);
            bench.send(&queue, &["4"]);
            (got(late), got(early))
        });
        inner.unwrap()
    });
    assert_eq!(consumed.unwrap(), ("3".to_owned(), "4".to_owned()));
}

fn a_single_active_consumer_gets_everything(bench: &Bench) {
    let queue = bench.declare(bench.queue().single_active_consumer());
    let consumed = bench.connection.consume(&queue, 2, |first| {
        let inner = bench.connection.consume(&queue, 2, |second| {
            bench.send(&queue, &["1", "2", "3"]);
            let one = next(first);
            let two = got(first);
            assert_nothing(second);
            bench.wait_for_ready(&queue, 1);
            first.ack(one.tag).unwrap();
            let three = got(first);
            assert_nothing(second);
            [text(&one.message), two, three]
        });
        inner.unwrap()
    });
    assert_eq!(consumed.unwrap(), ["1", "2", "3"]);
}

fn when_the_single_active_consumer_ends_the_next_takes_over_what_it_had(bench: &Bench) {
    let queue = bench.declare(bench.queue().single_active_consumer());
    let other = bench.broker.connect("another").unwrap();
    let consumed = other.consume(&queue, 1, |first| {
        bench.send(&queue, &["1", "2"]);
        assert_eq!(got(first), "1");
        let inner = bench.connection.consume(&queue, 2, |second| {
            assert_nothing(second);
            other.close(SOON);
            let again = next(second);
            assert!(again.message.is_redelivered());
            (text(&again.message), got(second))
        });
        inner.unwrap()
    });
    assert_eq!(consumed.unwrap(), ("1".to_owned(), "2".to_owned()));
}

fn among_those_who_wait_to_be_the_single_active_consumer(bench: &Bench) {
    let queue = bench.declare(bench.queue().single_active_consumer());
    let other = bench.broker.connect("another").unwrap();
    let consumed = other.consume_with(&queue, &with_priority(1, 9), |_active| {
        let inner = bench.connection.consume_with(&queue, &with_priority(1, 0), |old| {
            let innermost = bench.connection.consume_with(&queue, &with_priority(1, 5), |important| {
                other.close(SOON);
                bench.send(&queue, &["1"]);
                // A quorum queue asks for the priority only from 4.0 on; until then the oldest is next.
                if bench.is_quorum() && !bench.is_rabbitmq_from(4, 0) {
                    assert_eq!(got(old), "1");
                    assert_nothing(important);
                } else {
                    assert_eq!(got(important), "1");
                    assert_nothing(old);
                }
            });
            innermost.unwrap();
        });
        inner.unwrap();
    });
    consumed.unwrap();
}

fn what_the_single_active_consumer_had_comes_before_or_after_what_is_ready(bench: &Bench) {
    let queue = bench.declare(bench.queue().single_active_consumer());
    bench.send(&queue, &["1", "2"]);
    let ((holds, is_held), (end, ends)) = (channel(), channel::<()>());
    let seen = thread::scope(|scope| {
        let (connection, queue) = (&bench.connection, &queue);
        scope.spawn(move || {
            let consumed = connection.consume(queue, 1, |active| {
                holds.send(got(active)).unwrap();
                ends.recv().unwrap_err()
            });
            consumed.unwrap();
        });
        assert_eq!(is_held.recv().unwrap(), "1");
        let consumed = connection.consume(queue, 2, |next_one| {
            drop(end);
            [got(next_one), got(next_one)]
        });
        consumed.unwrap()
    });
    // Whoever ends says so before it gives back what it had. A quorum queue goes on at once; a classic one does from 4.0 on.
    let is_after = bench.is_quorum() || bench.is_rabbitmq_from(4, 0);
    assert_eq!(seen, if is_after { ["2", "1"] } else { ["1", "2"] });
}

fn only_a_classic_queue_counts_those_who_wait_to_be_the_single_active_consumer(bench: &Bench) {
    let queue = bench.declare(bench.queue().single_active_consumer());
    let consumed = bench.connection.consume(&queue, 1, |_active| {
        let counted = || bench.connection.declare_queue(&Queue::existing(&queue)).unwrap().consumers;
        bench.connection.consume(&queue, 1, |_waiting| counted()).unwrap()
    });
    assert_eq!(consumed.unwrap(), if bench.is_quorum() { 1 } else { 2 });
}

fn an_exclusive_consumer_is_alone(bench: &Bench) {
    let exclusive = Subscribe::new().exclusive();
    let (queue, single) = (bench.declare(bench.queue()), bench.declare(bench.queue().single_active_consumer()));
    let try_all = |queue: &str| {
        let consume = |options: &Subscribe| bench.connection.consume_with(queue, options, |_| ()).map_err(|err| err.fault());
        [consume(&exclusive), consume(&Subscribe::new())]
    };
    let refused = Err(Fault::AccessRefused);
    // A quorum queue does not know exclusive consumers, and takes them as any other.
    let expected = |classic| if bench.is_quorum() { [Ok(()), Ok(())] } else { classic };
    bench.connection.consume_with(&queue, &exclusive, |_| assert_eq!(try_all(&queue), expected([refused, refused]))).unwrap();
    bench.connection.consume(&queue, 1, |_| assert_eq!(try_all(&queue), expected([refused, Ok(())]))).unwrap();
    assert_eq!(try_all(&single), expected([refused, Ok(())]));
    assert_eq!(try_all(&queue), [Ok(()), Ok(())]);
    assert_fault(bench.connection.consume_with("nobody-declared-this", &exclusive, |_| ()), Fault::NotFound);
}
