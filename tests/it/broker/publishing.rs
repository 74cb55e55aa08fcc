//! What a publisher is told, and that what it sent arrives as it was.

use super::bench::{assert_fault, next, Bench, SOON};
use bootstep::{Exchange, Fault, Properties, Publication, Receipt, Table, Value};

cases![
    publishing_to_a_missing_exchange_is_not_found_and_the_connection_lives,
    a_mandatory_message_that_no_queue_takes_is_an_error,
    each_message_has_an_answer_of_its_own,
    what_was_confirmed_before_the_channel_broke_off_is_known,
    more_than_fits_on_the_way_at_once_is_answered_one_by_one,
    a_message_that_no_queue_takes_is_confirmed_unless_mandatory,
    a_mandatory_message_that_a_queue_takes_is_confirmed,
    every_property_survives_the_hop,
    no_properties_and_odd_ones_survive_the_hop,
    every_type_of_header_survives_the_hop,
    every_type_of_header_survives_dying,
    a_publisher_that_names_another_user_is_refused,
    an_expiration_that_is_no_number_is_refused,
];

fn publishing_to_a_missing_exchange_is_not_found_and_the_connection_lives(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let nowhere = Publication::new("nobody-declared-this", "key", "lost");
    assert_fault(bench.connection.publish(&[nowhere], SOON), Fault::NotFound);

    bench.send(&queue, &["after"]);
    bench.assert_holds(&queue, &["after"]);
}

fn a_mandatory_message_that_no_queue_takes_is_an_error(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let publications = [
        Publication::new("", &queue, "first").mandatory(),
        Publication::new("", "nobody-declared-this", "lost").mandatory(),
        Publication::new("", &queue, "last").mandatory(),
    ];
    let err = bench.connection.publish(&publications, SOON).unwrap_err();

    assert_eq!(err.fault(), Fault::NotTaken);
    let (whose, why) = ("nobody-declared-this", "NO_ROUTE (312)");
    assert!(err.to_string().contains(whose) && err.to_string().contains(why), "{err}");
    // The others are on their queue.
    bench.assert_holds(&queue, &["first", "last"]);
}

fn each_message_has_an_answer_of_its_own(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let full = bench.declare(bench.queue().max_length(1).overflow("reject-publish"));
    bench.send(&full, &["one is enough"]);
    let mut wide = Publication::new("", &queue, "too wide").mandatory();
    wide.properties.message_id = Some("m".repeat(256));
    let publications = [
        Publication::new("", &queue, "first").mandatory(),
        Publication::new("", "nobody-declared-this", "lost").mandatory(),
        wide,
        Publication::new("", &full, "no room").mandatory(),
        Publication::new("", &queue, "last").mandatory(),
    ];
    let answers = bench.connection.publish_each(&publications, SOON);

    assert!(answers.ended.is_none(), "{:?}", answers.ended);
    let [first, unroutable, unfit, refused, last] = answers.receipts.as_slice() else { panic!("{answers:?}") };
    assert_eq!([first, last], [&Receipt::Taken; 2]);
    assert_eq!(unroutable, &Receipt::Returned("NO_ROUTE (312)".into()));
    assert!(matches!(unfit, Receipt::Unfit(reason) if reason.contains("its message id has 256 bytes")), "{unfit:?}");
    // A quorum queue learns late that it is full, and takes a few more.
    assert!(refused == &Receipt::Nacked || bench.is_quorum(), "{refused:?}");
    bench.assert_holds(&queue, &["first", "last"]);
}

fn what_was_confirmed_before_the_channel_broke_off_is_known(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let large = vec![7; 5 << 20];
    // More than may be on the way at once: the last of them waits for the first.
    let publications = [
        Publication::new("", &queue, large).mandatory(),
        Publication::new("nobody-declared-this", "key", "lost").mandatory(),
        Publication::new("", &queue, "perhaps").mandatory(),
    ];
    let answers = bench.connection.publish_each(&publications, SOON);

    assert_eq!(answers.ended.map(|err| err.fault()), Some(Fault::NotFound));
    assert_eq!(answers.receipts[..2], [Receipt::Taken, Receipt::Unknown]);
    assert!(matches!(answers.receipts[2], Receipt::Unsent | Receipt::Unknown), "{:?}", answers.receipts);
    assert_eq!(bench.take(&queue, 1)[0].body().len(), 5 << 20);
}

fn more_than_fits_on_the_way_at_once_is_answered_one_by_one(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let publications: Vec<_> = (0..12).map(|_| Publication::new("", &queue, vec![7; 1 << 20]).mandatory()).collect();
    let answers = bench.connection.publish_each(&publications, SOON);

    assert!(answers.ended.is_none(), "{:?}", answers.ended);
    assert_eq!(answers.receipts, vec![Receipt::Taken; 12]);
    bench.take(&queue, 12);
}

fn a_message_that_no_queue_takes_is_confirmed_unless_mandatory(bench: &Bench) {
    let exchange = bench.exchange(Exchange::topic);
    bench.publish(Publication::new("", "nobody-declared-this", "lost"));
    bench.publish(Publication::new(exchange, "unbound", "lost"));
}

fn a_mandatory_message_that_a_queue_takes_is_confirmed(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    bench.publish(Publication::new("", &queue, "here").mandatory());
    bench.assert_holds(&queue, &["here"]);
}

fn every_property_survives_the_hop(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let mut sent = Properties::persistent("application/json").header("answer", 42);
    sent.content_encoding = Some("gzip".into());
    sent.priority = Some(9);
    sent.correlation_id = Some("correlation".into());
    sent.reply_to = Some("answers".into());
    sent.expiration = Some("60000".into());
    sent.message_id = Some("message".into());
    sent.timestamp = Some(1_700_000_000);
    sent.kind = Some("order.paid".into());
    sent.user_id = Some(bench.user());
    sent.app_id = Some("shop".into());
    sent.cluster_id = Some("cluster".into());
    bench.publish(Publication::new("", &queue, "{}").with(sent.clone()));

    assert_eq!(bench.take_one(&queue).properties(), &sent);
}

fn no_properties_and_odd_ones_survive_the_hop(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let mut odd = Properties::default();
    odd.content_type = Some(String::new());
    odd.headers = Some(Table::new());
    odd.delivery_mode = Some(1);
    odd.priority = Some(255);
    odd.correlation_id = Some("c".repeat(255));
    odd.message_id = Some("\u{2615}".into());
    odd.timestamp = Some(0);
    for sent in [Properties::default(), odd] {
        bench.publish(Publication::new("", &queue, "body").with(sent.clone()));
        assert_eq!(bench.take_one(&queue).properties(), &sent);
    }
}

fn every_type_of_header_survives_the_hop(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let mut sent = Properties::persistent("text/plain");
    sent.headers = Some(all_types());
    bench.publish(Publication::new("", &queue, "headers").with(sent));

    assert_eq!(bench.take_one(&queue).headers(), Some(&all_types()));
}

fn every_type_of_header_survives_dying(bench: &Bench) {
    // A broker may pass headers on unread; a dead letter's it must read and write anew.
    let dead = bench.declare(bench.queue());
    let queue = bench.declare(bench.queue().dead_letter_to("", &dead));
    let mut sent = Properties::persistent("text/plain");
    sent.headers = Some(all_types());
    bench.publish(Publication::new("", &queue, "headers").with(sent));
    bench
        .connection
        .consume(&queue, 1, |inbox| {
            let letter = next(inbox);
            inbox.reject(letter.tag).unwrap();
        })
        .unwrap();

    let message = bench.take_one(&dead);
    for (name, value) in all_types() {
        assert_eq!(message.header(&name), Some(&value), "`{name}`");
    }
}

fn all_types() -> Table {
    let inner = Table::from([("deep".to_owned(), Value::Array(vec![Value::Bool(false), "text".into(), Value::Null]))]);
    let values = [
        ("bool", Value::Bool(true)),
        ("i8", Value::I8(i8::MIN)),
        ("u8", Value::U8(u8::MAX)),
        ("i16", Value::I16(i16::MIN)),
        ("u16", Value::U16(u16::MAX)),
        ("i32", Value::I32(i32::MIN)),
        ("u32", Value::U32(u32::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("f32", Value::F32(1.5)),
        ("f64", Value::F64(-0.1)),
        ("decimal", Value::Decimal { scale: 2, value: 1999 }),
        ("text", "two cups \u{2615}".into()),
        ("empty text", "".into()),
        ("bytes", Value::Bytes(vec![0, 255, 128])),
        ("array", Value::Array(vec![Value::I32(1), "two".into(), Value::Table(inner.clone())])),
        ("empty array", Value::Array(Vec::new())),
        ("timestamp", Value::Timestamp(1_700_000_000)),
        ("table", Value::Table(inner)),
        ("null", Value::Null),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn a_publisher_that_names_another_user_is_refused(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    let mut properties = Properties::persistent("text/plain");
    properties.user_id = Some("somebody-else".into());
    let publication = Publication::new("", &queue, "forged").with(properties);
    assert_fault(bench.connection.publish(&[publication], SOON), Fault::Mismatch);

    bench.assert_holds(&queue, &[]);
}

fn an_expiration_that_is_no_number_is_refused(bench: &Bench) {
    let queue = bench.declare(bench.queue());
    for expiration in ["", "soon", "1.5", "-1"] {
        let mut properties = Properties::persistent("text/plain");
        properties.expiration = Some(expiration.into());
        let publication = Publication::new("", &queue, "late").with(properties);
        let published = bench.connection.publish(&[publication], SOON);
        assert_eq!(published.map_err(|err| err.fault()), Err(Fault::Mismatch), "`{expiration}`");
    }
    bench.assert_holds(&queue, &[]);
}
