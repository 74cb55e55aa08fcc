//! B5: what no handler can be called with is archived once, and the rest goes on.

use super::{failing, noting, paid, retries_of, sent, EVENT};
use crate::support::stage::Stage;
use bootstep::celery::Task;
use bootstep::steps::celery_amqp_events::Settings;
use bootstep::{headers, Message, Properties, Publication, Value};

crate::on_both!(
    what_is_no_event_is_archived_once_with_its_reason,
    odd_counts_and_headers_neither_end_the_worker_nor_buy_attempts,
    an_event_put_on_the_queue_by_hand_comes_back_from_its_retries,
    what_celery_sent_before_protocol_2_is_sent_again_by_it,
);

fn with(headers: &[(&str, Value)], body: impl Into<Vec<u8>>) -> Publication {
    let mut publication = Publication::new("events", EVENT, body).content_type("application/json");
    for (name, value) in headers {
        publication.properties = std::mem::take(&mut publication.properties).header(*name, value.clone());
    }
    publication
}

fn changed(change: impl FnOnce(&mut Properties)) -> Publication {
    let mut publication = sent(&paid());
    change(&mut publication.properties);
    publication
}

fn what_is_no_event_is_archived_once_with_its_reason(stage: &Stage) {
    let (shop, noted) = noting("shop", Settings::default());
    let running = stage.start(shop);
    let named = [("task", EVENT.into()), ("id", "1".into())];
    let cases = [
        (with(&[], r#"{"order": 7}"#), "this is no task of Celery"),
        (with(&[], "{worse"), "this is no task of Celery"),
        (with(&named, "{bad"), "the body is not the JSON that is wanted"),
        (with(&named, b"\xff\xfe".to_vec()), "the body is not the JSON that is wanted"),
        (with(&named, r#"{"order_id": 7}"#), "the body is not the JSON that is wanted"),
        (with(&named[..1], "[[7, 1.0], {}, {}]"), "the header `id` of the task is missing"),
        (sent(&Task::new("order.lost").arg(7)), "the task `order.lost` is none that `order.paid` has a handler for"),
        (sent(&Task::new(EVENT).arg(7)), "the task `order.paid` lacks the argument `amount`"),
        (sent(&paid().kwarg("colour", "red")), "the task `order.paid` takes no argument `colour`"),
        (sent(&Task::new(EVENT).arg(7).arg(1.5).arg(3)), "takes 2 positional arguments, and 3 were given"),
        (sent(&paid().arg(7)), "got the argument `order_id` twice"),
        (
            sent(&Task::new(EVENT).arg("seven").arg(1.5)),
            "the argument `order_id` of the task `order.paid` is not what is wanted",
        ),
        (changed(|properties| properties.content_type = Some("text/plain".into())), "text/plain"),
        (changed(|properties| properties.content_type = Some("application/x-python-serialize".into())), "x-python-serialize"),
        (changed(|properties| properties.content_type = None), "the content type `` is not"),
        (changed(|properties| properties.content_encoding = Some("utf-7".into())), "the content encoding `utf-7` is not known"),
        (
            changed(|properties| {
                properties.headers.get_or_insert_default().insert("compression".into(), "application/x-gzip".into());
            }),
            "the body is compressed",
        ),
    ];
    for (publication, _) in &cases {
        stage.send(&[publication.clone(), sent(&paid())]).unwrap();
    }
    let archived = stage.take("shop:archived", cases.len());
    for (publication, reason) in &cases {
        let same = |message: &&Message| message.body() == publication.body() && reason_of(message).contains(reason);
        let found: Vec<&Message> = archived.iter().filter(same).collect();
        assert_eq!(found.len(), 1, "{reason}: {:?}", archived.iter().map(reason_of).collect::<Vec<_>>());
        assert_eq!(found[0].properties().content_type, publication.properties.content_type);
        assert_eq!(found[0].routing_key(), EVENT);
    }
    stage.until("its neighbours are handled", || noted.lock().unwrap().len() == cases.len());
    assert_eq!(running.stop(), 0);
    assert_eq!(["shop.order.paid", "shop:retry", "shop:archived"].map(|queue| stage.ready(queue)), [0; 3]);
}

fn reason_of(message: &Message) -> String {
    message.header(headers::REASON).map(ToString::to_string).unwrap_or_default()
}

fn odd_counts_and_headers_neither_end_the_worker_nor_buy_attempts(stage: &Stage) {
    let (shop, attempts) = failing("shop", Settings::default().max_retries(1));
    let running = stage.start(shop);
    let counted =
        |count: Value| changed(|properties| drop(properties.headers.get_or_insert_default().insert("retries".into(), count)));
    let odd = [Value::Text("many".into()), Value::I32(-5), Value::Null, Value::I16(1), Value::I64(i64::MAX)];
    stage.send(&odd.map(counted)).unwrap();
    let mut counts: Vec<_> = stage.take("shop:archived", 5).iter().map(|it| retries_of(it).cloned()).collect();
    counts.sort_by_key(|count| count.as_ref().and_then(Value::as_i64));
    // All of them int32: a Python worker reads no other width safely.
    assert_eq!(counts, [2, 2, 2, 2, i32::MAX].map(|count| Some(Value::I32(count))));
    assert_eq!(attempts.lock().unwrap().len(), 2 + 2 + 2 + 1 + 1);
    assert_eq!(running.stop(), 0);
}

fn an_event_put_on_the_queue_by_hand_comes_back_from_its_retries(stage: &Stage) {
    let (shop, attempts) = failing("shop", Settings::default().max_retries(1));
    let _running = stage.start(shop);
    // As an operator moves it out of the archive: its key is the queue's name then, to which no retry would return.
    stage.send(&[sent(&paid()).to("", "shop.order.paid").mandatory()]).unwrap();
    assert_eq!(retries_of(&stage.take("shop:archived", 1)[0]), Some(&Value::I32(2)));
    assert_eq!(*attempts.lock().unwrap(), [1, 2]);
}

fn what_celery_sent_before_protocol_2_is_sent_again_by_it(stage: &Stage) {
    let (shop, attempts) = failing("shop", Settings::default().max_retries(3));
    let _running = stage.start(shop);
    let body = format!(r#"{{"task": "{EVENT}", "id": "5", "args": [7], "kwargs": {{"amount": 12.5}}, "retries": 2}}"#);
    stage.send(&[with(&[], body)]).unwrap();
    let archived = stage.take("shop:archived", 1).remove(0);
    // What its body says is known once it is decoded, and goes on being counted where Python workers look.
    assert_eq!(*attempts.lock().unwrap(), [1, 4]);
    assert_eq!((retries_of(&archived), archived.header("task")), (Some(&Value::I32(4)), Some(&EVENT.into())));
    assert!(archived.body().starts_with(b"[[7],{\"amount\":12.5},"));
}
