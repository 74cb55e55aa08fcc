//! The README's commands, word by word: a shell script as a handler, and what was given up listed, shown and replayed.

use super::bootstep;
use crate::support::process::Process;
use crate::support::stage::Stage;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The commands of the README that stand behind this mark.
fn commands(mark: &str) -> String {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once(&format!("<!-- tried: {mark} -->\n```sh\n")).expect("the README has this mark");
    rest.split_once("\n```").expect("what begins ends").0.to_owned()
}

/// The folder `examples/daemon` in another place, so that nothing is left in the repository.
fn copied_example() -> TempDir {
    let folder = TempDir::new().unwrap();
    for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/daemon").read_dir().unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
    }
    folder
}

/// A shell in this folder, in which `bootstep` is the program under test.
fn shell(script: &str, folder: &Path, url: &str) -> Command {
    let program = PathBuf::from(bootstep(&[]).get_program());
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-euc", script]).current_dir(folder).env("PATH", path).env("AMQP_URL", url).env_remove("BOOTSTEP_CONFIG");
    shell
}

#[track_caller]
fn printed(script: &str, folder: &Path, url: &str) -> String {
    let output = shell(script, folder, url).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\nended with {}:\n{complaint}", output.status);
    String::from_utf8(output.stdout).unwrap() + &complaint
}

#[test]
fn the_readmes_commands_do_what_it_says() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let folder = copied_example();
    let checked = printed(&commands("check"), folder.path(), &url);
    assert!(checked.contains("`orders`"), "{checked}");

    // The README leaves it running in a terminal of its own.
    let mut worker = Process::start(&mut shell(&format!("exec {}", commands("run")), folder.path(), &url));
    worker.tells(1, "declare-dead-letters");
    stage.until("the worker consumes", || {
        let queue = stage.connection.declare_queue(&bootstep::Queue::existing("orders"));
        queue.is_ok_and(|queue| queue.consumers == 1)
    });
    let published = printed(&commands("publish"), folder.path(), &url);
    assert!(published.contains("published 1 message"), "{published}");
    stage.until("it is given up", || stage.ready("orders.archive") == 1);

    let looked = printed(&commands("look"), folder.path(), &url);
    for part in ["the shelf is empty", "\"id\": 1", "x-bootstep-reason"] {
        assert!(looked.contains(part), "`{part}` is not in:\n{looked}");
    }
    let replayed = printed(&commands("replay"), folder.path(), &url);
    assert!(replayed.contains("replayed 1 message"), "{replayed}");
    stage.until("the archive is empty, and so is the queue", || {
        stage.ready("orders.archive") == 0 && stage.ready("orders") == 0
    });
    worker.prints(1, "packed in attempt 1: {\"id\": 1}");
    assert_eq!(worker.ends_by("TERM").0, Some(0));
}
