//! What cannot be decoded goes to the dead letters as it came, with the reason; its neighbours are handled.

use crate::support::stage::Stage;
use bootstep::{headers, Consumer, Exchange, Json, Message, Outcome, Properties, Publication, Queue, Table, Value};

crate::on_both!(
    undecodable_messages_lie_in_the_dead_letters_byte_for_byte,
    only_accepted_content_types_are_handled,
    text_in_an_unknown_encoding_is_not_misread,
    a_declared_dead_letter_exchange_gets_what_is_rejected,
    a_dead_letter_exchange_that_passes_on_to_another_is_trusted_unless_that_leads_back,
    a_dead_letter_exchange_of_somebody_else_is_not_trusted,
    a_dead_letter_exchange_that_may_not_take_all_is_not_trusted,
    the_consumer_may_decide_about_what_it_cannot_decode,
    a_hook_sees_what_was_not_decoded,
);

fn json(queue: impl Into<Queue>) -> Consumer {
    // One at a time, so that the dead letters lie in the order of the messages.
    Consumer::new(queue, |_: Json<u32>, _: &Message| Ok(Outcome::Ack)).concurrency(1)
}

fn all_properties() -> Properties {
    let mut properties = Properties::persistent("application/json").header("shop", "west").header("count", 3);
    properties = properties.header("nested", Table::from([("yes".to_string(), Value::Bool(true))]));
    properties.priority = Some(4);
    properties.correlation_id = Some("c1".into());
    properties.reply_to = Some("answers".into());
    properties.message_id = Some("m1".into());
    properties.timestamp = Some(1_700_000_000);
    properties.kind = Some("order".into());
    properties.app_id = Some("shop".into());
    properties
}

#[test]
fn the_reason_quotes_nothing_of_the_body() {
    let reason = |body: &str| {
        let message = Message::from_publication(Publication::new("", "q", body));
        <Json<Strict> as bootstep::Decode>::decode(&message).map(|_| ()).unwrap_err().to_string()
    };
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Strict {
        card: u64,
        kind: Kind,
    }
    #[derive(serde::Deserialize)]
    enum Kind {
        Debit,
    }
    for body in [
        r#"{"card": "4111-1111"}"#,
        r#"{"4111-1111": 1}"#,
        r#"{"card": 1, "kind": "4111-1111"}"#,
        r#""4111-1111""#,
        "4111-1111",
        r#"{"card": "a, expected 4111-1111"}"#,
    ] {
        let reason = reason(body);
        assert!(!reason.contains("4111"), "{reason}");
    }
    assert!(reason(r#"{"card": "4111"}"#).contains("invalid type, expected u64 at line 1 column 15"));
    assert!(reason(r#"{"card": 1}"#).contains("missing field `kind`"));
}

#[track_caller]
fn assert_dead(message: &Message, body: &[u8], reason: &str) {
    assert_eq!(message.body(), body);
    let told = message.header(headers::REASON).and_then(Value::as_str).unwrap_or_default();
    assert!(told.contains(reason), "{told:?} tells of {reason:?}");
}

fn undecodable_messages_lie_in_the_dead_letters_byte_for_byte(stage: &Stage) {
    let _running = stage.start(json("numbers"));
    let body = b"{ \xff\x00 not json".to_vec();
    let sent = Publication::new("", "numbers", body.clone()).with(all_properties());
    stage.send(&[sent, Publication::new("", "numbers", "7"), Publication::new("", "numbers", "")]).unwrap();

    let dead = stage.take("numbers.dead", 2);
    assert_dead(&dead[0], &body, "not the JSON that is wanted");
    assert_dead(&dead[1], b"", "EOF");
    let mut kept = dead[0].properties().clone();
    kept.headers.as_mut().unwrap().retain(|name, _| !name.starts_with("x-bootstep-"));
    assert_eq!(kept, all_properties());
    assert_eq!((dead[0].exchange(), dead[0].routing_key()), ("", "numbers"));
    stage.until("the queue is empty", || stage.ready("numbers") == 0);
}

fn only_accepted_content_types_are_handled(stage: &Stage) {
    let _running = stage.start(json("picky").accept(["application/json"]));
    let of = |content_type: &str| Publication::new("", "picky", "7").content_type(content_type);
    let none = Publication::new("", "picky", "8");
    stage.send(&[of("application/json"), of("Application/JSON; charset=utf-8"), of("text/plain"), none]).unwrap();
    let dead = stage.take("picky.dead", 2);
    assert_dead(&dead[0], b"7", "the content type `text/plain` is not accepted here; accepted is `application/json`");
    assert_dead(&dead[1], b"8", "the content type `` is not accepted");
}

fn text_in_an_unknown_encoding_is_not_misread(stage: &Stage) {
    let _running = stage.start(json("coded"));
    let mut packed = Publication::new("", "coded", "7");
    packed.properties.content_encoding = Some("gzip".into());
    let latin = Publication::new("", "coded", "8").content_type("application/json; charset=latin1");
    stage.send(&[packed, latin]).unwrap();
    let dead = stage.take("coded.dead", 2);
    assert_dead(&dead[0], b"7", "the content encoding `gzip` is not known");
    assert_dead(&dead[1], b"8", "the charset `latin1` is not known");
    assert_eq!(dead[0].properties().content_encoding.as_deref(), Some("gzip"));
}

fn a_declared_dead_letter_exchange_gets_what_is_rejected(stage: &Stage) {
    let morgue = Queue::new("morgue").bind("graveyard", "rotten");
    let queue = Queue::new("fruit").bind("graveyard", "fresh").dead_letter_to("graveyard", "rotten");
    let fruit = json(queue).exchange(Exchange::direct("graveyard"));
    let mut worker = bootstep::Worker::new(stage.broker.clone());
    worker.steps.replace(bootstep::steps::DeclareDeadLetters::default().queue(morgue)).add(fruit);
    let _running = worker.start().unwrap();
    stage.publish("fruit", &["rotten apple"]);
    let dead = stage.take("morgue", 1);
    let Some(Value::Array(deaths)) = dead[0].header("x-death") else { panic!("{:?}", dead[0].headers()) };
    let Value::Table(death) = &deaths[0] else { panic!("{deaths:?}") };
    assert_eq!((death["reason"].as_str(), death["queue"].as_str()), (Some("rejected"), Some("fruit")));
    assert_eq!(dead[0].body(), b"rotten apple");
}

fn a_dead_letter_exchange_that_passes_on_to_another_is_trusted_unless_that_leads_back(stage: &Stage) {
    let declare = bootstep::steps::DeclareDeadLetters::default()
        .exchange(Exchange::fanout("vault").bind("graveyard", "rotten"))
        .exchange(Exchange::fanout("compost").bind("vault", "any"))
        .queue(Queue::new("morgue").bind("vault", ""));
    let dying = |name: &str| Queue::new(name).dead_letter_to("graveyard", "rotten");
    let mut worker = bootstep::Worker::new(stage.broker.clone());
    let fruit = json(dying("fruit")).exchange(Exchange::direct("graveyard"));
    worker.steps.replace(declare).add(fruit).add(json(dying("round").bind("compost", "")));
    let running = worker.start().unwrap();
    stage.publish("round", &["rotten pear"]);
    assert_dead(&stage.take("round.dead", 1)[0], b"rotten pear", "not the JSON");
    stage.publish("fruit", &["rotten apple"]);
    assert_eq!(stage.take("morgue", 1)[0].body(), b"rotten apple");
    // The second queue got it as well, and keeps it apart.
    assert_eq!(stage.take("round.dead", 1)[0].body(), b"rotten apple");
    assert_eq!(running.stop(), 0);
}

fn a_dead_letter_exchange_of_somebody_else_is_not_trusted(stage: &Stage) {
    // Nobody declares the exchange: the broker would drop what is rejected.
    let _running = stage.start(json(Queue::new("lonely").dead_letter_to("nowhere", "lost")));
    stage.publish("lonely", &["x"]);
    assert_dead(&stage.take("lonely.dead", 1)[0], b"x", "not the JSON");
}

fn a_dead_letter_exchange_that_may_not_take_all_is_not_trusted(stage: &Stage) {
    stage.connection.declare_exchange(&Exchange::direct("graveyard")).unwrap();
    stage.connection.declare_queue(&Queue::new("morgue.theirs").bind("graveyard", "theirs")).unwrap();
    let own_key = |name: &str| Queue::new(name).argument("x-dead-letter-exchange", "graveyard");
    let cases = [
        (own_key("kept"), Queue::new("morgue.key").bind("graveyard", "kept")),
        (Queue::new("other").dead_letter_to("graveyard", "a"), Queue::new("morgue.a").bind("graveyard", "b")),
        (
            Queue::new("full").dead_letter_to("graveyard", "full"),
            Queue::new("morgue.full").bind("graveyard", "full").max_length(1).overflow("reject-publish"),
        ),
        (
            Queue::new("brief").dead_letter_to("graveyard", "brief"),
            Queue::new("morgue.brief").bind("graveyard", "brief").auto_delete(),
        ),
        (
            Queue::new("round").dead_letter_to("graveyard", "round").bind("graveyard", "round"),
            Queue::new("morgue.round").bind("graveyard", "round"),
        ),
        (Queue::new("far").dead_letter_to("graveyard", "theirs"), Queue::existing("morgue.theirs").bind("graveyard", "theirs")),
        // It would be declared twice, in two ways.
        (Queue::new("own").dead_letter_to("graveyard", "own"), Queue::new("own.dead").bind("graveyard", "own").max_length(9)),
    ];
    for (queue, morgue) in cases {
        let (name, beside) = (queue.name.clone(), morgue.name.clone());
        let mut worker = bootstep::Worker::new(stage.broker.clone());
        let declare = bootstep::steps::DeclareDeadLetters::default().queue(morgue);
        worker.steps.replace(declare).add(json(queue).exchange(Exchange::direct("graveyard")));
        let running = worker.start().unwrap();
        stage.publish(&name, &["x", "y", "z"]);
        assert_eq!(stage.take(&format!("{name}.dead"), 3).len(), 3, "{name}");
        assert_eq!(stage.ready(&beside), 0);
        assert_eq!(running.stop(), 0);
    }
}

fn the_consumer_may_decide_about_what_it_cannot_decode(stage: &Stage) {
    let lenient = json("lenient").on_decode_error(|_, message| match message.body() {
        b"ping" => Outcome::Ack,
        _ => Outcome::archive("not a number"),
    });
    let _running = stage.start(lenient);
    stage.publish("lenient", &["ping", "pong"]);
    assert_dead(&stage.take("lenient.archive", 1)[0], b"pong", "not a number");
    stage.until("the queue is empty", || stage.ready("lenient") == 0);
    assert_eq!(stage.ready("lenient.dead"), 0);
}

fn a_hook_sees_what_was_not_decoded(stage: &Stage) {
    struct Tell(std::sync::mpsc::SyncSender<String>);
    impl bootstep::Hook for Tell {
        fn begin(&self, message: &Message) -> Result<(), bootstep::BoxError> {
            Ok(self.0.send(format!("begin {}", String::from_utf8_lossy(message.body())))?)
        }
        fn end(&self, _message: &Message, outcome: &Outcome) -> Result<(), bootstep::BoxError> {
            Ok(self.0.send(format!("end {outcome}"))?)
        }
        fn failed(&self, _message: &Message, reason: &str) {
            self.0.send(format!("failed {}", &reason[..8])).unwrap();
        }
    }
    let (tell, told) = std::sync::mpsc::sync_channel(16);
    let _running = stage.start(json("hooked").hook(Tell(tell)));
    stage.publish("hooked", &["1", "x"]);
    let lines: Vec<String> = (0..4).map(|_| told.recv_timeout(crate::support::stage::SOON).unwrap()).collect();
    assert_eq!(lines, ["begin 1", "end ack", "begin x", "failed the body"]);
}
