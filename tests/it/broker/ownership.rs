//! Whose a queue is, and when one that nobody keeps goes: exclusive, auto-delete and server-named queues in depth.

use super::bench::{assert_fault, next, text, Bench, SOON};
use crate::support::wait::eventually;
use bootstep::{Binding, Fault, Publication, Queue};

cases![
    the_owner_declares_an_exclusive_queue_again,
    an_exclusive_queue_is_no_more_durable_than_its_connection,
    an_exclusive_queue_goes_with_messages_and_consumers_and_its_name_is_free,
    an_auto_delete_queue_without_consumers_stays,
    an_auto_delete_queue_goes_whatever_is_on_it,
    an_auto_delete_queue_goes_when_its_consumers_connection_goes,
    a_queue_named_by_the_broker_works_as_any_other,
    a_passive_declaration_says_nothing_of_how_the_queue_is,
    a_queue_of_one_type_is_declared_again_with_or_without_saying_so,
];

fn exists(bench: &Bench, queue: &str) -> bool {
    bench.connection.declare_queue(&Queue::existing(queue)).is_ok()
}

fn the_owner_declares_an_exclusive_queue_again(bench: &Bench) {
    let queue = bench.queue().exclusive().auto_delete();
    bench.declare(queue.clone());
    bench.send(&queue.name, &["1"]);
    let status = bench.connection.declare_queue(&queue).unwrap();
    assert_eq!((status.messages, status.consumers), (1, 0));
    assert_eq!(bench.connection.declare_queue(&Queue::existing(&queue.name)).unwrap().messages, 1);
}

fn an_exclusive_queue_is_no_more_durable_than_its_connection(bench: &Bench) {
    let queue = bench.queue().exclusive();
    bench.declare(queue.clone());
    bench.declare(queue.transient());
}

fn an_exclusive_queue_goes_with_messages_and_consumers_and_its_name_is_free(bench: &Bench) {
    let owner = bench.broker.connect("owner").unwrap();
    let queue = bench.queue().exclusive();
    owner.declare_queue(&queue).unwrap();
    bench.send(&queue.name, &["1", "2"]);
    owner.consume(&queue.name, 1, |inbox| drop(next(inbox))).unwrap();
    owner.close(SOON);
    eventually("its name is free", SOON, || bench.connection.declare_queue(&queue).is_ok());

    bench.assert_holds(&queue.name, &[]);
}

fn an_auto_delete_queue_without_consumers_stays(bench: &Bench) {
    let queue = bench.declare(bench.queue().auto_delete());
    bench.connection.bind(&queue, &Binding::new("amq.topic", &queue)).unwrap();
    bench.publish(Publication::new("amq.topic", &queue, "1"));
    bench.connection.unbind(&queue, &Binding::new("amq.topic", &queue)).unwrap();
    bench.connection.purge_queue(&queue).unwrap();
    assert_fault(bench.connection.declare_queue(&Queue::new(&queue)), Fault::Mismatch);
    assert!(exists(bench, &queue));
}

fn an_auto_delete_queue_goes_whatever_is_on_it(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().auto_delete().dead_letter_to("", &dead));
    bench.send(&queue, &["1", "2"]);
    bench.connection.consume(&queue, 1, |inbox| drop(next(inbox))).unwrap();
    eventually("it is gone", SOON, || !exists(bench, &queue));
    bench.assert_holds(&dead, &[]);
}

fn an_auto_delete_queue_goes_when_its_consumers_connection_goes(bench: &Bench) {
    let queue = bench.declare(bench.queue().auto_delete());
    let other = bench.broker.connect("another").unwrap();
    let consumed = other.consume(&queue, 1, |_| {
        bench.connection.consume(&queue, 1, |_| other.close(SOON)).unwrap();
    });
    consumed.unwrap();
    eventually("it is gone", SOON, || !exists(bench, &queue));
}

fn a_queue_named_by_the_broker_works_as_any_other(bench: &Bench) {
    let given = bench.declare(Queue::new("").exclusive().bind("amq.direct", "to whoever asked").max_length(2));
    bench.publish(Publication::new("amq.direct", "to whoever asked", "1"));
    bench.send(&given, &["2", "3"]);
    assert_eq!(text(&bench.take_one(&given)), "2");
    assert_eq!(bench.connection.purge_queue(&given).unwrap(), 1);
    assert_eq!(bench.connection.delete_queue(&given).unwrap(), 0);
    assert!(!exists(bench, &given));
}

fn a_passive_declaration_says_nothing_of_how_the_queue_is(bench: &Bench) {
    let queue = bench.declare(bench.queue().auto_delete().max_length(5));
    let mut passive = Queue::existing(&queue).transient().max_length(1).argument("x-message-ttl", "soon");
    passive.auto_delete = false;
    assert_eq!(bench.connection.declare_queue(&passive).unwrap().name, queue);
}

fn a_queue_of_one_type_is_declared_again_with_or_without_saying_so(bench: &Bench) {
    let said = bench.queue();
    let unsaid = Queue::new(&said.name);
    for queue in [said.clone(), unsaid, said] {
        bench.declare(queue);
    }
}
