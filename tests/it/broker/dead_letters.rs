//! Where a message goes that no consumer wants, and what it tells of its death (<https://www.rabbitmq.com/docs/dlx>).

use super::bench::{death, deaths, is_rabbitmq_4, next, text, Bench};
use bootstep::{Exchange, Properties, Publication, Value};
use std::time::Duration;

cases_by_queue_type![
    a_rejected_message_is_dropped_without_dead_letters,
    a_rejected_message_tells_of_its_death,
    a_dead_letter_keeps_its_key_unless_the_queue_names_one,
    a_dead_letter_for_a_missing_exchange_is_lost,
    a_second_round_counts_its_deaths_up,
    the_first_death_is_remembered,
    the_latest_of_many_deaths_comes_first,
    what_was_rejected_on_its_way_may_come_again_unless_the_order_of_its_deaths_hides_that,
    a_message_rejected_to_its_own_queue_comes_again,
    a_message_that_would_go_round_by_itself_is_dropped,
    a_dead_letter_tells_of_all_its_keys_and_drops_copies_for_a_key_of_the_queues,
    a_dead_letter_goes_by_its_copies_too_if_the_queue_names_no_key,
    a_death_that_a_publisher_made_up_does_no_harm,
    what_is_purged_or_deleted_is_no_dead_letter,
];

const SHORT: Duration = Duration::from_millis(30);

#[track_caller]
fn reject_one(bench: &Bench, queue: &str) {
    let consumed = bench.connection.consume(queue, 1, |inbox| {
        let letter = next(inbox);
        inbox.reject(letter.tag).unwrap();
    });
    consumed.unwrap();
}

fn a_rejected_message_is_dropped_without_dead_letters(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.send(&queue, &["1", "2"]);
    reject_one(bench, &queue);

    bench.wait_for_ready(&queue, 1);
    bench.assert_holds(&queue, &["2"]);
}

fn a_rejected_message_tells_of_its_death(bench: &Bench) {
    let exchange = bench.exchange(Exchange::topic);
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().bind(&exchange, "order.*").dead_letter_to("", &dead));
    bench.publish(Publication::new(&exchange, "order.paid", "body").content_type("text/plain"));
    reject_one(bench, &queue);

    let message = bench.take_one(&dead);
    assert_eq!(deaths(&message), [death(1, "rejected", &queue, &exchange, &["order.paid"])]);
    assert_eq!(message.header("x-first-death-reason"), Some(&"rejected".into()));
    assert_eq!(message.header("x-first-death-queue"), Some(&queue.as_str().into()));
    assert_eq!(message.header("x-first-death-exchange"), Some(&exchange.as_str().into()));
    assert_eq!((message.exchange(), message.routing_key(), text(&message).as_str()), ("", dead.as_str(), "body"));
    assert_eq!(message.properties().content_type.as_deref(), Some("text/plain"));
    assert_eq!(message.properties().delivery_mode, Some(2));
    // 4.0 says of a dead letter on a quorum queue that it was delivered before; 3.10 and classic queues do not.
    assert!(!message.is_redelivered() || is_rabbitmq_4(bench));
}

/// The memory broker does as 4.0 does where 3.x may let a message go round for ever.
fn is_rabbitmq_3(bench: &Bench) -> bool {
    bench.connection.server().starts_with("RabbitMQ 3")
}

fn a_dead_letter_keeps_its_key_unless_the_queue_names_one(bench: &Bench) {
    let graveyard = bench.exchange(Exchange::topic);
    let dead = bench.declare(bench.queue().bind(&graveyard, "#"));
    let keeping = bench.declare(bench.queue().argument("x-dead-letter-exchange", graveyard.as_str()));
    let naming = bench.declare(bench.queue().dead_letter_to(&graveyard, "another"));
    for queue in [&keeping, &naming] {
        bench.send(queue, &["body"]);
        reject_one(bench, queue);
        let message = bench.take_one(&dead);
        let key = if queue == &keeping { keeping.as_str() } else { "another" };
        assert_eq!((message.exchange(), message.routing_key()), (graveyard.as_str(), key));
    }
}

fn a_dead_letter_for_a_missing_exchange_is_lost(bench: &Bench) {
    let queue = bench.declare(bench.queue().dead_letter_to("nobody-declared-this", "key"));
    bench.send(&queue, &["1", "2"]);
    reject_one(bench, &queue);

    bench.wait_for_ready(&queue, 1);
    bench.assert_holds(&queue, &["2"]);
}

fn a_second_round_counts_its_deaths_up(bench: &Bench) {
    let queue = bench.queue();
    let retry = bench.declare(bench.queue().message_ttl(SHORT).dead_letter_to("", &queue.name));
    let queue = bench.declare(queue.dead_letter_to("", &retry));
    bench.send(&queue, &["body"]);
    for _ in 0..2 {
        reject_one(bench, &queue);
        bench.let_pass(SHORT);
    }

    let expected = [death(2, "expired", &retry, "", &[&retry]), death(2, "rejected", &queue, "", &[&queue])];
    assert_eq!(deaths(&bench.take_one(&queue)), expected);
}

fn the_first_death_is_remembered(bench: &Bench) {
    let last = bench.declare(bench.queue());
    let middle = bench.declare(bench.queue().dead_letter_to("", &last));
    let queue = bench.declare(bench.queue().message_ttl(SHORT).dead_letter_to("", &middle));
    bench.send(&queue, &["body"]);
    bench.let_pass(SHORT);
    reject_one(bench, &middle);

    let message = bench.take_one(&last);
    let expected = [death(1, "rejected", &middle, "", &[&middle]), death(1, "expired", &queue, "", &[&queue])];
    assert_eq!(deaths(&message), expected);
    assert_eq!(message.header("x-first-death-reason").and_then(Value::as_str), Some("expired"));
    assert_eq!(message.header("x-first-death-queue").and_then(Value::as_str), Some(queue.as_str()));
}

fn the_latest_of_many_deaths_comes_first(bench: &Bench) {
    let last = bench.declare(bench.queue());
    let mut queues = vec![last];
    for _ in 0..5 {
        queues.push(bench.declare(bench.queue().dead_letter_to("", queues.last().unwrap())));
    }
    queues.reverse();
    bench.send(&queues[0], &["body"]);
    for queue in &queues[..5] {
        reject_one(bench, queue);
    }
    let told = deaths(&bench.take_one(&queues[5]));
    let places = told.iter().map(|death| queues.iter().position(|queue| death["queue"] == queue.as_str().into()).unwrap());
    // RabbitMQ 3.x turns the order of earlier deaths round with each further one.
    let expected = if is_rabbitmq_3(bench) { [4, 2, 0, 1, 3] } else { [4, 3, 2, 1, 0] };
    assert_eq!(places.collect::<Vec<_>>(), expected);
}

fn what_was_rejected_on_its_way_may_come_again_unless_the_order_of_its_deaths_hides_that(bench: &Bench) {
    // Expired, rejected, expired again, and then back to where it expired first.
    let first = bench.queue();
    let third = bench.declare(bench.queue().message_ttl(SHORT).dead_letter_to("", &first.name));
    let second = bench.declare(bench.queue().dead_letter_to("", &third));
    let first = bench.declare(first.message_ttl(SHORT).dead_letter_to("", &second));
    let sentinels = bench.declare(bench.queue().message_ttl(SHORT * 4).dead_letter_to("", &second));
    bench.send(&first, &["body"]);
    bench.let_pass(SHORT);
    reject_one(bench, &second);
    bench.send(&sentinels, &["sentinel"]);
    (0..4).for_each(|_| bench.let_pass(SHORT));

    // RabbitMQ 3.x goes by the order that it has turned round, and takes this for one that goes round by itself.
    let expected = if is_rabbitmq_3(bench) { ["sentinel"].as_slice() } else { &["body", "sentinel"] };
    bench.assert_holds(&second, expected);
}

fn a_message_rejected_to_its_own_queue_comes_again(bench: &Bench) {
    let queue = bench.queue();
    let own = queue.name.clone();
    let queue = bench.declare(queue.dead_letter_to("", own));
    bench.send(&queue, &["body"]);
    reject_one(bench, &queue);
    reject_one(bench, &queue);

    assert_eq!(deaths(&bench.take_one(&queue)), [death(2, "rejected", &queue, "", &[&queue])]);
}

fn a_message_that_would_go_round_by_itself_is_dropped(bench: &Bench) {
    let queue = bench.queue();
    let own = queue.name.clone();
    let queue = bench.declare(queue.message_ttl(SHORT).dead_letter_to("", own));
    bench.send(&queue, &["body"]);
    bench.let_pass(SHORT);

    bench.wait_for_ready(&queue, 0);
}

fn a_dead_letter_tells_of_all_its_keys_and_drops_copies_for_a_key_of_the_queues(bench: &Bench) {
    let (dead, copied) = (bench.declare(bench.queue()), bench.declare(bench.queue()));
    let queue = bench.declare(bench.queue().dead_letter_to("", &dead));
    let copies = Value::Array(vec![copied.as_str().into()]);
    let properties = Properties::persistent("text/plain").header("CC", copies);
    bench.publish(Publication::new("", &queue, "body").with(properties));
    reject_one(bench, &queue);

    let message = bench.take_one(&dead);
    assert_eq!(deaths(&message), [death(1, "rejected", &queue, "", &[&queue, &copied])]);
    // 3.10 takes the header away where the queue names a key; 4.0 leaves it.
    assert!(message.header("CC").is_none() || is_rabbitmq_4(bench));
    bench.assert_holds(&copied, &["body"]);
}

fn a_dead_letter_goes_by_its_copies_too_if_the_queue_names_no_key(bench: &Bench) {
    let graveyard = bench.exchange(Exchange::direct);
    let dead = bench.declare(bench.queue().bind(&graveyard, "another"));
    let queue = bench.declare(bench.queue().argument("x-dead-letter-exchange", graveyard.as_str()));
    let copies = Value::Array(vec!["another".into()]);
    let properties = Properties::persistent("text/plain").header("CC", copies.clone());
    bench.publish(Publication::new("", &queue, "body").with(properties));
    reject_one(bench, &queue);

    assert_eq!(bench.take_one(&dead).header("CC"), Some(&copies));
}

fn a_death_that_a_publisher_made_up_does_no_harm(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().dead_letter_to("", &dead));
    for made_up in [Value::from("text"), Value::Array(Vec::new())] {
        let properties = Properties::persistent("text/plain").header("x-death", made_up.clone());
        bench.publish(Publication::new("", &queue, "body").with(properties));
        reject_one(bench, &queue);

        let message = bench.take_one(&dead);
        let Some(Value::Array(deaths)) = message.header("x-death") else { panic!("{:?}", message.headers()) };
        let Some(Value::Table(latest)) = deaths.first() else { panic!("{deaths:?}") };
        assert_eq!(latest.get("queue"), Some(&queue.as_str().into()), "{made_up:?}");
    }
}

fn what_is_purged_or_deleted_is_no_dead_letter(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().dead_letter_to("", &dead));
    bench.send(&queue, &["purged"]);
    assert_eq!(bench.connection.purge_queue(&queue).unwrap(), 1);
    bench.send(&queue, &["deleted"]);
    assert_eq!(bench.connection.delete_queue(&queue).unwrap(), 1);

    bench.assert_holds(&dead, &[]);
}
