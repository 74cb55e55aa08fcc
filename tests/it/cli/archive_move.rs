//! `archive replay`, `export`, `import` and `drop`: what is moved arrives once as it was, what is not stays, and nothing is lost.

use super::publish::on;
use super::said;
use crate::support::node::shared_node;
use crate::support::process::Process;
use crate::support::stage::{Stage, SOON};
use bootstep::{headers, Binding, Consumer, Message, Outcome, Properties, Publication, Queue, Table, Value};
use std::collections::BTreeSet;
use std::fs;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

struct Scene {
    stage: Stage,
    url: String,
    folder: tempfile::TempDir,
}

impl Scene {
    fn with(queues: &[&str]) -> Scene {
        let (stage, url) = Stage::rabbitmq_with_url();
        queues.iter().for_each(|queue| drop(stage.connection.declare_queue(&Queue::new(*queue)).unwrap()));
        Scene { stage, url, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn archive(&self, arguments: &[&str]) -> (String, String, i32) {
        said(&mut on(&self.url, &[&["archive"], arguments].concat()))
    }

    #[track_caller]
    fn check(&self, arguments: &[&str], expected_code: i32, expected: &[&str]) -> String {
        let (out, err, code) = self.archive(arguments);
        assert_eq!(code, expected_code, "{arguments:?}: {out}{err}");
        assert!(expected.iter().all(|words| err.contains(words)), "{arguments:?}: {err}");
        out
    }

    /// Puts messages into `orders.archive`, as a worker does.
    fn archived(&self, bodies: impl IntoIterator<Item = String>) {
        let publications: Vec<_> = bodies.into_iter().map(|body| archived("orders", &body)).collect();
        publications.chunks(1_000).for_each(|chunk| self.stage.send(chunk).unwrap());
    }
}

fn archived(queue: &str, body: &str) -> Publication {
    let properties = Properties::persistent("text/plain")
        .header(headers::QUEUE, queue)
        .header(headers::EXCHANGE, "amq.topic")
        .header(headers::ROUTING_KEY, "order.web")
        .header(headers::REASON, "the press is jammed")
        .header(headers::RETRIES, 5);
    Publication::new("", "orders.archive", body).with(properties).mandatory()
}

fn bodies(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
}

/// Everything but the mark that each publishing connection makes anew.
fn properties(message: &Message) -> Properties {
    let mut properties = message.properties().clone();
    if let Some(headers) = &mut properties.headers {
        headers.remove(headers::PUBLISH_ID);
    }
    properties
}

#[test]
fn a_replayed_message_is_handled_again_from_its_first_attempt() {
    for how in [&[][..], &["--via-exchange"]] {
        let scene = Scene::with(&["audit"]);
        scene.stage.connection.bind("audit", &Binding::new("amq.topic", "order.#")).unwrap();
        let (tell, told) = channel();
        let orders = Consumer::new(Queue::new("orders").bind("amq.topic", "order.#"), move |_: String, message: &Message| {
            let replays = message.header("x-bootstep-replays").and_then(Value::as_i64);
            tell.send((message.attempt(), message.exchange().to_owned(), message.routing_key().to_owned(), replays))?;
            Ok(if replays < Some(3) { Outcome::archive("not yet") } else { Outcome::Ack })
        });
        let _running = scene.stage.start(orders);
        // With an id, a worker takes it for one that comes again if it is just the same within a minute.
        let mut order = Publication::new("amq.topic", "order.web", "two cups");
        order.properties.message_id = Some("o-7".into());
        order.properties.expiration = Some("3600000".into());
        scene.stage.send(&[order]).unwrap();
        for times in [None, Some(1), Some(2), Some(3)] {
            let expected = (1, "amq.topic".to_owned(), "order.web".to_owned(), times);
            assert_eq!(told.recv_timeout(SOON).unwrap(), expected, "{how:?}");
            if times != Some(3) {
                scene.stage.until("it is archived", || scene.stage.ready("orders.archive") == 1);
                let replay = [&["replay", "orders"], how].concat();
                scene.check(&replay, 0, &["replayed 1 message of the 1 in `orders.archive`"]);
            }
        }
        // Straight to its queue, nobody else is bothered; by its exchange, everybody is.
        let others = scene.stage.take("audit", if how.is_empty() { 1 } else { 4 });
        let last = others.last().unwrap();
        assert_eq!(last.properties().expiration.as_deref(), Some("3600000"));
        let ours = |name: &&String| name.starts_with("x-bootstep") && *name != headers::PUBLISH_ID;
        let left: Vec<_> = last.headers().iter().flat_map(|table| table.keys()).filter(ours).collect();
        let expected: &[&str] = if how.is_empty() { &[] } else { &[headers::REPLAYED, headers::REPLAYS] };
        assert_eq!(left, expected);
    }
}

#[test]
fn what_the_broker_has_rejected_goes_back_to_the_queue_it_died_on() {
    let scene = Scene::with(&["orders.dead"]);
    let orders = Queue::new("orders").bind("amq.topic", "order.#").dead_letter_to("", "orders.dead");
    scene.stage.connection.declare_queue(&orders).unwrap();
    scene.stage.send(&[Publication::new("amq.topic", "order.web", "two cups")]).unwrap();
    scene.stage.until("it is there", || scene.stage.ready("orders") == 1);
    let reject = |inbox: &mut bootstep::Inbox<'_>| {
        let letter = inbox.next(SOON).unwrap().expect("it is ready");
        inbox.reject(letter.tag).unwrap();
    };
    scene.stage.connection.consume("orders", 1, reject).unwrap();
    scene.stage.until("it is dead", || scene.stage.ready("orders.dead") == 1);
    scene.check(&["replay", "orders", "--dead"], 0, &["replayed 1 message of the 1 in `orders.dead`"]);
    let came = &scene.stage.take("orders", 1)[0];
    assert_eq!((came.exchange(), came.routing_key(), came.body()), ("amq.topic", "order.web", &b"two cups"[..]));
    assert_eq!(came.header("x-death"), None);
}

#[test]
fn what_no_queue_takes_stays_and_is_told_with_its_reason() {
    let scene = Scene::with(&["orders.archive", "other"]);
    let full = Queue::new("orders").max_length(2).overflow("reject-publish");
    scene.stage.connection.declare_queue(&full).unwrap();
    scene.archived(["1", "2", "3", "4"].map(String::from));
    let strangers = [archived("gone", "5"), Publication::new("", "orders.archive", "6")];
    scene.stage.send(&strangers).unwrap();
    let expected = [
        "1 message stayed: it does not say in which queue it failed",
        "1 message stayed: the queue `gone` does not exist",
        "error: would replay 4 messages of the 6",
    ];
    let out = scene.check(&["replay", "orders", "--dry-run"], 1, &expected);
    assert_eq!(
        out,
        "1 message would go to the queue `gone`, which does not exist\n4 messages would go to the queue `orders`\n"
    );
    assert_eq!(scene.stage.ready("orders.archive"), 6, "nothing was done");

    let expected = [
        "2 messages stayed: the queue refused it (full, or in trouble)",
        "1 message stayed: no queue takes it: NO_ROUTE (312)",
        "1 message stayed: it does not say in which queue it failed: name one with `--to`",
        "error: replayed 2 messages of the 6 in `orders.archive`; some stayed, as told above",
    ];
    let out = scene.check(&["replay", "orders", "--json"], 1, &expected);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!([&report["matched"], &report["replayed"]].map(|it| it.as_u64()), [Some(6), Some(2)]);
    assert_eq!(report["to"]["the queue `orders`"], 2);
    assert_eq!(bodies(&scene.stage.take("orders", 2)), ["1", "2"]);
    scene.stage.until("the rest is back", || scene.stage.ready("orders.archive") == 4);
    scene.check(&["replay", "orders", "--to", "other"], 0, &["replayed 4 messages of the 4 in `orders.archive`"]);
    assert_eq!(bodies(&scene.stage.take("other", 4)), ["3", "4", "5", "6"]);
}

#[test]
fn only_what_is_meant_is_moved() {
    let scene = Scene::with(&["orders.archive", "orders"]);
    let numbered = |number: u32| {
        let mut letter = archived("orders", &format!(r#"{{"number": {number}}}"#));
        letter.properties = letter.properties.header("even", number % 2 == 0);
        letter
    };
    scene.stage.send(&(1..=6).map(numbered).collect::<Vec<_>>()).unwrap();
    scene.check(&["replay", "orders", "--header", "even=true", "--limit", "2"], 0, &["replayed 2 messages of the 6"]);
    assert_eq!(bodies(&scene.stage.take("orders", 2)), [r#"{"number": 2}"#, r#"{"number": 4}"#]);
    scene.stage.until("the rest is back", || scene.stage.ready("orders.archive") == 4);

    let began = Instant::now();
    scene.check(&["replay", "orders", "--rate", "5/s"], 0, &["replayed 4 messages of the 4"]);
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
    assert_eq!(scene.stage.take("orders", 4).len(), 4);
    scene.check(&["replay", "orders"], 0, &["replayed 0 messages of the 0"]);
}

#[test]
fn what_cannot_be_moved_at_all_is_told_with_what_to_do() {
    let scene = Scene::with(&["orders.archive"]);
    scene.archived(["1".to_owned()]);
    let [missing, file] = ["missing", "file"].map(|name| scene.file(name));
    fs::write(&file, "{\"body\": \"x\"}\nbroken\n").unwrap();
    scene.check(&["replay", "nobody"], 3, &["`nobody.archive`"]);
    scene.check(&["replay", "orders", "--to", "nobody"], 3, &["`nobody`", "declare the queue"]);
    scene.check(&["replay", "orders", "--to", "orders.archive"], 2, &["is where they are"]);
    scene.check(&["replay", "orders", "--to", "x", "--via-exchange"], 2, &["cannot be used with"]);
    scene.check(&["replay", "orders", "--rate", "fast"], 2, &["is not a rate"]);
    scene.check(&["export", "orders", "--to", &file], 2, &["exists", "--append", "--overwrite"]);
    scene.check(&["export", "orders", "--drop", "--to", "-"], 2, &["name a file"]);
    scene.check(&["import", &missing], 2, &["No such file"]);
    scene.check(&["import", &file], 2, &["line 1 does not say from which queue it is", "--to"]);
    scene.check(&["import", &file, "--to", "orders.archive"], 2, &["line 2 of", "not JSON", "imported 1 message", "--skip 1"]);
    scene.check(&["import", &file, "--to", "nobody"], 3, &["declare the queue"]);
    scene.check(&["drop", "orders"], 2, &["2 messages of the 2 in `orders.archive` would be gone for good", "--yes"]);
    assert_eq!(scene.stage.ready("orders.archive"), 2);
}

#[test]
fn an_interrupt_finishes_the_batch_in_hand() {
    let scene = Scene::with(&["orders.archive", "orders"]);
    scene.archived((0..100).map(|id| id.to_string()));
    let mut replaying = Process::start(&mut on(&scene.url, &["archive", "replay", "orders", "--rate", "20/s"]));
    scene.stage.until("some are back", || scene.stage.ready("orders") > 3);
    replaying.signal("INT");
    assert_eq!(replaying.end(), Some(1));
    replaying.tells(1, "error: interrupted; replayed ");
    scene.stage.until("each is in one place", || scene.stage.ready("orders") + scene.stage.ready("orders.archive") == 100);
}

#[test]
fn a_lost_connection_ends_it_with_3_and_the_next_goes_on() {
    let scene = Scene::with(&["orders.archive", "orders"]);
    scene.archived((0..60).map(|id| id.to_string()));
    let mut replaying = Process::start(&mut on(&scene.url, &["archive", "replay", "orders", "--rate", "20/s"]));
    scene.stage.until("some are back", || scene.stage.ready("orders") > 3);
    shared_node().ctl(&["close_all_connections", "--vhost", scene.stage.vhost_name(), "the test wants it"]);
    assert_eq!(replaying.end(), Some(3));
    replaying.tells(1, "what is left is there still; the same command goes on with it");
    let scene = Scene { stage: scene.stage.reconnected(), ..scene };
    scene.stage.until("the archive is empty", || {
        scene.check(&["replay", "orders"], 0, &[]);
        scene.stage.ready("orders.archive") == 0 && scene.stage.ready("orders") >= 60
    });
    let came = scene.stage.ready("orders") as usize;
    let unique: BTreeSet<String> = bodies(&scene.stage.take("orders", came)).into_iter().collect();
    // At this rate a batch has two.
    assert!(unique.len() == 60 && came <= 62, "{} of {came}", unique.len());
}

/// Two that have everything, one moved by a worker and one by the broker.
fn full_of_types(scene: &Scene) -> Vec<Message> {
    let orders = Queue::new("dying").dead_letter_to("", "orders.archive").message_ttl(Duration::from_millis(1));
    scene.stage.connection.declare_queue(&orders).unwrap();
    let inner =
        Table::from([("$i8".to_owned(), Value::I8(-1)), ("list".to_owned(), Value::Array(vec![Value::Null, Value::F32(0.1)]))]);
    let values = [
        Value::Bool(true),
        Value::U8(7),
        Value::I16(-7),
        Value::I64(7),
        Value::F64(0.1),
        Value::Decimal { scale: 2, value: 199 },
        Value::Bytes(vec![0, 255]),
        Value::Timestamp(7),
        Value::Table(inner),
        "ä\u{0}\n".into(),
    ];
    let mut letter = archived("orders", "");
    letter = Publication::new("", "orders.archive", b"\xff\x00".to_vec()).with(letter.properties);
    for (place, value) in values.into_iter().enumerate() {
        letter.properties = letter.properties.header(format!("h{place}"), value);
    }
    letter.properties.message_id = Some("m".into());
    letter.properties.timestamp = Some(1_700_000_000);
    letter.properties.priority = Some(3);
    letter.properties.kind = Some("order.web".into());
    letter.properties.user_id = Some("guest".into());
    letter.properties.expiration = Some("3600000".into());
    scene.stage.send(&[letter.clone().mandatory(), letter.to("", "dying").mandatory()]).unwrap();
    scene.stage.until("both are there", || scene.stage.ready("orders.archive") == 2);
    let (mut seen, connection) = (Vec::new(), &scene.stage.connection);
    let look = |inbox: &mut bootstep::Inbox<'_>| (0..2).for_each(|_| seen.push(inbox.next(SOON).unwrap().unwrap().message));
    connection.consume("orders.archive", 2, look).unwrap();
    scene.stage.until("both are back", || scene.stage.ready("orders.archive") == 2);
    seen
}

#[test]
fn what_is_exported_dropped_and_imported_is_as_it_was() {
    let scene = Scene::with(&["orders.archive"]);
    let before = full_of_types(&scene);
    let file = scene.file("orders.jsonl");
    scene.check(&["export", "orders", "--to", &file], 0, &["exported 2 messages of the 2 in `orders.archive`\n"]);
    let looked_at = fs::read_to_string(&file).unwrap();
    scene.stage.until("both are there still", || scene.stage.ready("orders.archive") == 2);
    let taken = ["export", "orders", "--drop", "--overwrite", "--to", &file];
    scene.check(&taken, 0, &["exported 2 messages of the 2", "which are gone from it"]);
    assert_eq!(scene.stage.ready("orders.archive"), 0);
    let without_time = |text: &str| {
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|mut line| line.as_object_mut().unwrap().remove("recorded_at").map(|_| line)).collect::<Vec<_>>()
    };
    assert_eq!(without_time(&fs::read_to_string(&file).unwrap()), without_time(&looked_at));
    scene.check(&["import", &file], 0, &["imported 2 messages"]);
    let after = scene.stage.take("orders.archive", 2);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(properties(after), properties(before));
        assert_eq!(
            (after.body(), after.exchange(), after.routing_key()),
            (before.body(), before.exchange(), before.routing_key())
        );
    }
}

#[test]
fn what_is_dropped_is_what_was_agreed_to() {
    let scene = Scene::with(&["orders.archive"]);
    scene.archived((0..10).map(|id| id.to_string()));
    let mut odd = archived("orders", "odd");
    odd.properties = odd.properties.header("odd", true);
    scene.stage.send(&[odd]).unwrap();
    let ready = || scene.stage.ready("orders.archive");
    scene.check(&["drop", "orders", "--header", "odd"], 2, &["1 message of the 11", "--yes"]);
    scene.check(&["drop", "orders", "--dry-run"], 0, &["would drop 11 messages of the 11"]);
    scene.stage.until("all are there still", || ready() == 11);
    let out = scene.check(&["drop", "orders", "--header", "odd", "--yes", "--json"], 0, &["dropped 1 message of the 11"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        report,
        serde_json::json!({"queue": "orders.archive", "dry_run": false, "held": 11, "matched": 1, "dropped": 1})
    );
    scene.stage.until("the others are back", || ready() == 10);
    scene.check(&["drop", "orders", "--limit", "4", "--yes"], 0, &["dropped 4 messages of the 10"]);
    scene.stage.until("the others are back", || ready() == 6);
    scene.check(&["drop", "orders", "--yes"], 0, &["dropped 6 messages of the 6"]);
    assert_eq!(ready(), 0);
}

fn from_environment(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("it is a number"))
}

/// In full: `REPLAY_MESSAGES=100000 REPLAY_KILLS=10 cargo test --release --features cli --test it killed_at_any_moment -- --nocapture`
#[test]
fn a_replay_killed_at_any_moment_loses_nothing_and_goes_on() {
    let (all, kills) = (from_environment("REPLAY_MESSAGES", 3_000), from_environment("REPLAY_KILLS", 3));
    let scene = Scene::with(&["orders.archive", "orders"]);
    scene.archived((0..all).map(|id| format!("order {id}")));
    let began = Instant::now();
    for kill in 1..=kills {
        let before = scene.stage.ready("orders");
        let replay = ["archive", "replay", "orders"];
        let mut replaying = Process::start(&mut on(&scene.url, &replay));
        let moment = before + fastrand::u32(1..=(all / (kills + 1)) as u32);
        scene.stage.until("some more are back", || scene.stage.ready("orders") >= moment || !replaying.is_running());
        assert!(replaying.is_running(), "kill {kill} came too late: {} are back", scene.stage.ready("orders"));
        replaying.signal("KILL");
        replaying.end();
        let now = scene.stage.ready("orders");
        eprintln!("kill {kill}: {before} messages were back before, {now} after");
    }
    let ready = || scene.stage.ready("orders.archive");
    // What the last one held comes back when the broker has found it gone.
    scene.stage.until("the archive is empty", || {
        let (_, err, code) = scene.archive(&["replay", "orders"]);
        assert_eq!(code, 0, "{err}");
        ready() == 0 && scene.archive(&["replay", "orders"]).1.contains(" of the 0 in ")
    });
    let came = scene.stage.ready("orders") as usize;
    let unique: BTreeSet<String> = bodies(&scene.stage.take("orders", came)).into_iter().collect();
    eprintln!("{all} messages, {kills} kills: {} doubles, in {:.1?}", came - unique.len(), began.elapsed());
    assert_eq!(unique, (0..all).map(|id| format!("order {id}")).collect());
    assert!(came - unique.len() <= 200 * kills, "a batch is done twice at each kill, at the most: {came}");
}
