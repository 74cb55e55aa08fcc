//! The same command line in a binary of one's own: `examples/own_commands.rs`.

use crate::examples::built;
use crate::support::process::Process;
use crate::support::stage::Stage;
use bootstep::Queue;
use std::process::Command;

fn own(arguments: &[&str], url: &str) -> Command {
    let mut command = Command::new(built("own_commands"));
    command.args(arguments).env("AMQP_URL", url).env_remove("BOOTSTEP_CONFIG").env_remove("RUST_LOG");
    command
}

#[test]
fn a_compiled_handler_gets_every_subcommand() {
    let (stage, url) = Stage::rabbitmq_with_url();
    let mut worker = Process::start(&mut own(&["run"], &url));
    stage.until("the worker consumes", || {
        stage.connection.declare_queue(&Queue::existing("example.notes")).is_ok_and(|queue| queue.consumers == 1)
    });
    let (_, _, code) = super::said(&mut own(&["publish", "--queue", "example.notes", "milk", "illegible"], &url));
    assert_eq!(code, 0);
    worker.prints(1, "attempt 1: milk");
    stage.until("one is given up", || stage.ready("example.notes.archive") == 1);
    let (out, _, code) = super::said(&mut own(&["archive", "list", "example.notes"], &url));
    assert_eq!(code, 0);
    assert!(out.contains("nobody can read this"), "{out}");
    let (out, err, code) = super::said(&mut own(&["check", "--broker"], &url));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("example.notes"), "{out}");
    assert_eq!(worker.ends_by("TERM").0, Some(0));
}

#[test]
fn its_help_bears_its_own_name() {
    let (out, _, code) = super::said(&mut own(&["run", "--help"], "amqp://nowhere"));
    assert_eq!(code, 0);
    assert!(out.contains("Usage: own_commands run"), "{out}");
}
