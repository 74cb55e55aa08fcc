//! The file that messages are written to, where another program writes to it, removes it, or where it is none of ours.

use super::publish::on;
use super::said;
use crate::support::process::Process;
use crate::support::stage::{Stage, SOON};
use crate::support::wait::eventually;
use bootstep::Queue;
use std::fs;

struct Scene {
    stage: Stage,
    url: String,
    folder: tempfile::TempDir,
}

impl Scene {
    fn with_two_orders() -> Scene {
        let (stage, url) = Stage::rabbitmq_with_url();
        stage.connection.declare_queue(&Queue::new("orders")).unwrap();
        stage.publish("orders", &["one", "two"]);
        stage.until("both are there", || stage.ready("orders") == 2);
        Scene { stage, url, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> String {
        self.folder.path().join("orders.jsonl").to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn check(&self, arguments: &[&str], expected_code: i32, expected: &[&str]) {
        let (out, err, code) = said(&mut on(&self.url, arguments));
        assert_eq!(code, expected_code, "{arguments:?}: {out}{err}");
        assert!(expected.iter().all(|words| err.contains(words)), "{arguments:?}: {err}");
    }
}

#[test]
fn two_commands_do_not_write_to_the_same_file() {
    let scene = Scene::with_two_orders();
    let file = scene.file();
    fs::write(&file, "{\"body\":\"kept\"}\n").unwrap();
    let record = ["record", "--exchange", "amq.topic", "--append", "--to", &file];
    let mut recording = Process::start(&mut on(&scene.url, &record));
    recording.tells(1, "recording to ");
    let export = ["archive", "export", "--exactly", "orders", "--drop", "--to", &file];
    for how in ["--append", "--overwrite"] {
        scene.check(&[&export[..], &[how]].concat(), 2, &["another program writes to `", "name another file"]);
    }
    let take = ["record", "--queue", "orders", "--take", "--limit", "1", "--append", "--to", &file];
    scene.check(&take, 2, &["another program writes to `"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"body\":\"kept\"}\n");
    assert_eq!(scene.stage.ready("orders"), 2, "nothing was taken");
    recording.signal("INT");
    assert_eq!(recording.end(), Some(0));
    scene.check(&[&export[..], &["--append"]].concat(), 0, &["exported 2 messages of the 2 in `orders`, which are gone"]);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 3);
}

#[test]
fn nothing_is_taken_into_a_file_that_was_removed() {
    let scene = Scene::with_two_orders();
    let file = scene.file();
    let mut recording = Process::start(&mut on(&scene.url, &["record", "--queue", "orders", "--take", "--to", &file]));
    let lines = || fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    eventually("both are written", SOON, || lines() == 2);
    scene.stage.until("both are taken", || scene.stage.ready("orders") == 0);
    fs::rename(&file, format!("{file}.1")).unwrap();
    scene.stage.publish("orders", &["three"]);
    assert_eq!(recording.end(), Some(1));
    recording.tells(1, "was removed or moved away");
    scene.stage.until("it is back", || scene.stage.ready("orders") == 1);
}

#[test]
fn a_file_of_something_else_is_neither_cut_nor_added_to() {
    let scene = Scene::with_two_orders();
    let file = scene.file();
    fs::write(&file, "a line\nno newline at all, not a record").unwrap();
    let export = ["archive", "export", "--exactly", "orders", "--drop", "--append", "--to"];
    scene.check(&[&export[..], &[&file]].concat(), 2, &["its last 31 bytes", "so it is something else"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a line\nno newline at all, not a record");
    scene.check(&[&export[..], &["/dev/full"]].concat(), 1, &["`/dev/full` could not be written: No space left"]);
    scene.stage.until("both are there still", || scene.stage.ready("orders") == 2);
}
