//! What time does to a message (<https://www.rabbitmq.com/docs/ttl>).

use super::bench::{death, deaths, next, text, texts, Bench};
use bootstep::{Properties, Publication, Value};
use std::time::Duration;

cases_by_queue_type![
    a_queues_time_to_live_sends_its_messages_to_the_dead_letters,
    a_messages_own_expiration_is_taken_off_and_kept_in_its_death,
    the_shorter_time_to_live_counts,
    a_message_behind_one_that_lives_longer_waits,
    an_expired_message_is_dropped_without_dead_letters,
    a_message_does_not_expire_while_a_consumer_has_it,
    a_time_to_live_of_years_is_taken,
    a_message_that_lives_no_time_gets_to_who_waits,
];

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(3600);

fn expiring(queue: &str, body: &str, after: Duration) -> Publication {
    let mut properties = Properties::persistent("text/plain");
    properties.expiration = Some(after.as_millis().to_string());
    Publication::new("", queue, body).with(properties)
}

fn a_queues_time_to_live_sends_its_messages_to_the_dead_letters(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().message_ttl(SHORT).dead_letter_to("", &dead));
    bench.send(&queue, &["1", "2"]);
    bench.let_pass(SHORT);

    let messages = bench.take(&dead, 2);
    assert_eq!(texts(&messages), ["1", "2"]);
    assert_eq!(deaths(&messages[0]), [death(1, "expired", &queue, "", &[&queue])]);
    bench.assert_holds(&queue, &[]);
}

fn a_messages_own_expiration_is_taken_off_and_kept_in_its_death(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().dead_letter_to("", &dead));
    bench.publish(expiring(&queue, "body", SHORT));
    bench.let_pass(SHORT);

    let message = bench.take_one(&dead);
    assert_eq!(message.properties().expiration, None);
    let mut expected = death(1, "expired", &queue, "", &[&queue]);
    expected.insert("original-expiration".into(), Value::from(SHORT.as_millis().to_string()));
    assert_eq!(deaths(&message), [expected]);
}

fn the_shorter_time_to_live_counts(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let patient = bench.declare(bench.queue().message_ttl(LONG).dead_letter_to("", &dead));
    let hasty = bench.declare(bench.queue().message_ttl(SHORT).dead_letter_to("", &dead));
    for (queue, own) in [(&patient, SHORT), (&hasty, LONG)] {
        bench.publish(expiring(queue, queue, own));
        bench.let_pass(SHORT);
        assert_eq!(&text(&bench.take_one(&dead)), queue);
    }
}

fn a_message_behind_one_that_lives_longer_waits(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().dead_letter_to("", &dead));
    let sentinels = bench.declare(bench.queue().message_ttl(SHORT).dead_letter_to("", &dead));
    bench.send(&queue, &["head"]);
    bench.publish(expiring(&queue, "behind", SHORT / 2));
    // This one expires later, and is there first.
    bench.send(&sentinels, &["sentinel"]);
    bench.let_pass(SHORT);
    assert_eq!(text(&bench.take_one(&dead)), "sentinel");

    assert_eq!(text(&bench.take_one(&queue)), "head");
    assert_eq!(text(&bench.take_one(&dead)), "behind");
}

fn an_expired_message_is_dropped_without_dead_letters(bench: &Bench) {
    let queue = bench.declare(bench.queue().message_ttl(SHORT));
    bench.send(&queue, &["body"]);
    bench.let_pass(SHORT);

    bench.wait_for_ready(&queue, 0);
}

fn a_message_does_not_expire_while_a_consumer_has_it(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().message_ttl(SHORT).dead_letter_to("", &dead));
    let sentinels = bench.declare(bench.queue().message_ttl(SHORT).dead_letter_to("", &dead));
    let consumed = bench.connection.consume(&queue, 1, |inbox| {
        bench.send(&queue, &["held"]);
        let letter = next(inbox);
        bench.send(&sentinels, &["sentinel"]);
        bench.let_pass(SHORT);
        assert_eq!(text(&bench.take_one(&dead)), "sentinel");
        inbox.requeue(letter.tag).unwrap();
    });
    consumed.unwrap();

    // Back on its queue it is late, and goes at once.
    assert_eq!(text(&bench.take_one(&dead)), "held");
}

fn a_time_to_live_of_years_is_taken(bench: &Bench) {
    let years = Duration::from_secs(10 * 365 * 24 * 3600);
    let queue = bench.declare(bench.queue().message_ttl(years));
    bench.publish(expiring(&queue, "body", years));
    bench.let_pass(LONG);

    bench.assert_holds(&queue, &["body"]);
}

fn a_message_that_lives_no_time_gets_to_who_waits(bench: &Bench) {
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().dead_letter_to("", &dead));
    bench.publish(expiring(&queue, "nobody waits", Duration::ZERO));
    assert_eq!(text(&bench.take_one(&dead)), "nobody waits");

    let seen = bench.connection.consume(&queue, 1, |inbox| {
        bench.publish(expiring(&queue, "somebody waits", Duration::ZERO));
        text(&next(inbox).message)
    });
    assert_eq!(seen.unwrap(), "somebody waits");
}
