//! `record` and `replay`: what passes or is taken stands in the file exactly, and comes out of it as it was.

use super::publish::on;
use super::said;
use crate::support::process::Process;
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::{Message, Properties, Publication, Queue, Table, Value};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

struct Scene {
    stage: Stage,
    url: String,
    folder: tempfile::TempDir,
}

impl Scene {
    fn with(queues: &[Queue]) -> Scene {
        let (stage, url) = Stage::rabbitmq_with_url();
        queues.iter().for_each(|queue| drop(stage.connection.declare_queue(queue).unwrap()));
        Scene { stage, url, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and answers its name.
    fn given(&self, name: &str, content: &str) -> String {
        fs::write(self.file(name), content).unwrap();
        text(&self.file(name)).to_owned()
    }

    #[track_caller]
    fn check(&self, arguments: &[&str], expected_code: i32, expected: &[&str]) -> String {
        let (out, err, code) = said(&mut on(&self.url, arguments));
        assert_eq!(code, expected_code, "{arguments:?}: {out}{err}");
        assert!(expected.iter().all(|words| err.contains(words)), "{arguments:?}: {err}");
        out
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// One that has everything.
fn letter(exchange: &str, routing_key: &str) -> Publication {
    let mut properties = Properties::persistent("application/octet-stream");
    properties.message_id = Some("m-7".into());
    properties.priority = Some(3);
    properties.timestamp = Some(1_700_000_000);
    properties.kind = Some("order.paid".into());
    properties.user_id = Some("guest".into());
    let inner = Table::from([("$i8".to_owned(), Value::I8(-1)), ("f".to_owned(), Value::F32(0.1))]);
    for (name, value) in
        [("a", Value::I16(-1)), ("b", Value::Bytes(vec![0, 255])), ("c", Value::Timestamp(7)), ("d", Value::Table(inner))]
    {
        properties = properties.header(name, value);
    }
    Publication::new(exchange, routing_key, b"\xff\x00\n".to_vec()).with(properties)
}

fn bodies(messages: &[Message]) -> BTreeSet<String> {
    messages.iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
}

#[test]
fn what_passes_is_recorded_exactly_and_replayed_as_it_was() {
    let scene = Scene::with(&[Queue::new("orders"), Queue::new("others")]);
    let file = scene.file("orders.jsonl");
    let arguments = ["record", "--exchange", "amq.topic", "--routing-key", "order.#", "--limit", "2", "--to", text(&file)];
    let mut recording = Process::start(&mut on(&scene.url, &arguments));
    recording.tells(1, "recording to ");
    let letters = [letter("amq.topic", "other.web"), letter("amq.topic", "order.web"), letter("amq.topic", "order.shop")];
    scene.stage.send(&letters).unwrap();
    recording.tells(1, "recorded 2 messages to ");
    assert_eq!(recording.end(), Some(0));
    assert!(fs::read_to_string(&file).unwrap().lines().all(|line| line.contains(r#""recorded_at":"2"#)));

    scene.stage.connection.bind("orders", &bootstep::Binding::new("amq.topic", "#")).unwrap();
    scene.check(&["replay", text(&file)], 0, &["published 2 messages"]);
    for (came, sent) in scene.stage.take("orders", 2).iter().zip(&letters[1..]) {
        assert_eq!((came.exchange(), came.routing_key(), came.body()), ("amq.topic", &*sent.routing_key, sent.body()));
        let mut properties = came.properties().clone();
        properties.headers.as_mut().unwrap().remove(bootstep::headers::PUBLISH_ID);
        assert_eq!(properties, sent.properties);
    }
    scene.check(&["replay", text(&file), "--to-queue", "others", "--limit", "1", "--skip", "1"], 0, &["published 1 message"]);
    assert_eq!(scene.stage.take("others", 1)[0].body(), letters[2].body());
    scene.check(&["replay", text(&file), "--exchange", "", "--routing-key", "others"], 0, &["published 2 messages"]);
    scene.stage.take("others", 2);
}

#[test]
fn what_is_taken_off_a_queue_is_in_the_file_however_often_it_is_killed() {
    const ALL: usize = 3_000;
    let scene = Scene::with(&[Queue::new("orders")]);
    let expected: BTreeSet<String> = (0..ALL).map(|id| format!("order {id}")).collect();
    scene.stage.publish("orders", &expected.iter().map(String::as_str).collect::<Vec<_>>());
    let file = scene.file("orders.jsonl");
    let take = ["record", "--queue", "orders", "--take", "--append", "--to", text(&file)];
    for kill in 1..=3 {
        let mut recording = Process::start(&mut on(&scene.url, &take));
        let size = || fs::metadata(&file).map_or(0, |metadata| metadata.len());
        eventually("some more are written", SOON, || size() > kill * 40_000);
        recording.signal("KILL");
        recording.end();
    }
    // What a killed writer leaves at worst, whatever it was at when it was killed.
    let mut half = fs::read(&file).unwrap();
    half.extend(br#"{"body":"half a li"#);
    fs::write(&file, &half).unwrap();
    let left = scene.stage.ready("orders");
    assert!((1..ALL as u32).contains(&left), "{left} are left");
    let mut rest = Process::start(&mut on(&scene.url, &take));
    rest.tells(1, "bytes are taken off");
    let written = || fs::read_to_string(&file).unwrap_or_default();
    scene.stage.until("all are written", || expected.iter().all(|body| written().contains(&format!("{body:?}"))));
    assert_eq!(rest.ends_by("INT").0, Some(0));
    rest.tells(1, "recorded ");
    assert_eq!(scene.stage.ready("orders"), 0);

    let queue = ["--to-queue", "orders"];
    scene.check(&[&["replay", text(&file)], &queue[..]].concat(), 0, &["published "]);
    let lines = fs::read_to_string(&file).unwrap().lines().count();
    assert_eq!(bodies(&scene.stage.take("orders", lines)), expected);
    // A batch at each kill, at the most.
    assert!((ALL..=ALL + 3 * 200).contains(&lines), "{lines}");
}

#[test]
fn a_line_that_is_no_record_is_an_error_with_its_number() {
    let scene = Scene::with(&[Queue::new("orders")]);
    let good = |body: &str| format!(r#"{{"routing_key": "orders", "body": "{body}"}}"#);
    let [one, two, three] = ["1", "2", "3"].map(good);
    let broken = scene.given("broken", &format!("{one}\n\nnot JSON\n{two}\n{{}}\n{three}\n"));
    scene.check(&["replay", &broken], 2, &["line 3 of", "it is not JSON", "--skip-broken", "published 1 message", "--skip 1"]);
    scene.check(&["replay", &broken, "--skip", "3"], 2, &["line 5 of", "neither `body` nor `body_base64`", "--skip 4"]);
    scene.check(
        &["replay", &broken, "--skip-broken", "--skip", "4"],
        1,
        &["line 5 of", "is left out", "1 broken line left out"],
    );
    assert_eq!(bodies(&scene.stage.take("orders", 3)).len(), 3);

    let killed = scene.given("killed", &format!("{one}\n{two}\n{}", &three[..20]));
    scene.check(&["replay", &killed], 0, &["line 3 of", "ends in the middle", "published 2 messages"]);
    let without_end = scene.given("without-end", &format!("{one}\n{two}"));
    scene.check(&["replay", &without_end], 0, &["published 2 messages"]);
    assert_eq!(scene.stage.take("orders", 4).len(), 4);
}

#[test]
fn a_file_that_exists_is_not_lost_and_a_queue_not_emptied_by_mistake() {
    let scene = Scene::with(&[Queue::new("orders")]);
    scene.stage.publish("orders", &["one", "two"]);
    let kept = scene.given("kept", "{\"body\":\"kept\"}\n");
    let missing = scene.file("no/folder");
    let take = ["record", "--queue", "orders", "--take", "--limit", "1", "--to"];
    scene.check(&["record", "--queue", "orders", "--to", &kept], 2, &["would be gone from it", "--take"]);
    scene.check(&[&take[..], &["-"]].concat(), 2, &["name a file", "synced"]);
    scene.check(&[&take[..], &[&kept]].concat(), 2, &["exists", "--append", "--overwrite"]);
    scene.check(&[&take[..], &[text(&missing)]].concat(), 2, &["could not be written", "No such file"]);
    scene.check(&["record", "--queue", "nobody", "--take", "--to", &kept, "--append"], 3, &["declare the queue"]);
    scene.check(&["record", "--exchange", "nobody", "--to", "-"], 3, &["declare the exchange"]);
    scene.check(&["record", "--exchange", "", "--to", "-"], 2, &["default exchange"]);
    assert_eq!((fs::read_to_string(&kept).unwrap().as_str(), scene.stage.ready("orders")), ("{\"body\":\"kept\"}\n", 2));
    scene.check(&[&take[..], &[&kept, "--append"]].concat(), 0, &["recorded 1 message to"]);
    assert_eq!(fs::read_to_string(&kept).unwrap().lines().count(), 2);
    scene.check(&[&take[..], &[&kept, "--overwrite"]].concat(), 0, &["recorded 1 message to"]);
    assert!(fs::read_to_string(&kept).unwrap().contains(r#""body":"two""#));
}

#[test]
fn standard_output_has_the_records_and_nothing_else() {
    let scene = Scene::with(&[Queue::new("orders")]);
    let out = scene.check(&["record", "--exchange", "amq.topic", "--to", "-", "--for", "100ms"], 0, &["recorded 0 messages"]);
    assert_eq!(out, "");
}

#[test]
fn a_user_id_that_is_not_ours_is_left_out_and_told() {
    let scene = Scene::with(&[Queue::new("orders")]);
    let record = |user: &str| format!(r#"{{"routing_key": "orders", "properties": {{"user_id": "{user}"}}, "body": ""}}"#);
    let file = scene.given("users", &format!("{}\n{}\n", record("somebody"), record("guest")));
    scene.check(&["replay", &file], 0, &["1 message went without the user id", "published 2 messages"]);
    let users: Vec<_> = scene.stage.take("orders", 2).iter().map(|it| it.properties().user_id.clone()).collect();
    assert_eq!(users, [None, Some("guest".to_owned())]);
}

#[test]
fn the_pauses_of_a_recording_can_be_kept() {
    let scene = Scene::with(&[Queue::new("orders")]);
    let record = |second: &str| format!(r#"{{"routing_key":"orders","body":"","recorded_at":"2026-01-01T00:00:{second}Z"}}"#);
    let file = scene.given("pauses", &["00", "01.5", "03"].map(record).join("\n"));
    let began = std::time::Instant::now();
    scene.check(&["replay", &file, "--speed", "5x"], 0, &["published 3 messages"]);
    assert!(began.elapsed().as_millis() >= 600, "{:?}", began.elapsed());
    scene.check(&["replay", &file, "--speed", "0x"], 2, &["`0x` is not a speed"]);
}

#[test]
fn a_body_of_100_mb_is_published_recorded_and_replayed() {
    let scene = Scene::with(&[Queue::new("orders")]);
    // Not UTF-8, so that it is written as base64.
    let body: Vec<u8> = (0..100_000_000_u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (large, file) = (scene.file("large"), scene.file("large.jsonl"));
    fs::write(&large, &body).unwrap();
    scene.check(&["publish", "--queue", "orders", "--body-file", text(&large)], 0, &["published 1 message"]);
    scene.check(&["record", "--queue", "orders", "--take", "--limit", "1", "--to", text(&file)], 0, &["recorded 1 message"]);
    scene.check(&["replay", text(&file)], 0, &["published 1 message"]);
    assert!(scene.stage.take("orders", 1)[0].body() == body, "it is as it was");
}
