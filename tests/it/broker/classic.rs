//! What a classic queue alone does: a requeued message goes back to its place.

use super::bench::{next, texts, Bench};

cases![a_requeued_message_goes_back_to_its_place_as_redelivered];

fn a_requeued_message_goes_back_to_its_place_as_redelivered(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2", "3", "4"]);

    let consumed = bench.connection.consume(&queue, 2, |inbox| {
        let (first, second) = (next(inbox), next(inbox));
        assert!(!first.message.is_redelivered() && !second.message.is_redelivered());
        inbox.requeue(first.tag).unwrap();
        let again = next(inbox);
        // Whatever was out counts its tags on: a message that comes again is another delivery.
        assert!(again.message.is_redelivered() && again.tag > second.tag);
        inbox.ack_up_to(again.tag).unwrap();
        let third = next(inbox);
        assert!(!third.message.is_redelivered());
        texts(&[first.message, second.message, again.message, third.message])
    });
    assert_eq!(consumed.unwrap(), ["1", "2", "1", "3"]);
}
