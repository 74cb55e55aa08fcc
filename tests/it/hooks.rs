//! Hooks: what begins is finished once, in reverse, whatever happens in between.

use crate::support::stage::{Stage, SOON};
use bootstep::{BoxError, Consumer, Hook, Message, Outcome, RetryPolicy};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};

crate::on_both!(every_hook_that_began_is_finished_once_in_reverse);

/// Tells what happens to it, and misbehaves where a word of the body says so: `begin:inner` fails, `end:inner!` panics.
struct Telling {
    name: &'static str,
    tell: SyncSender<String>,
}

impl Telling {
    fn happens(&self, what: &str, message: &Message) -> Result<(), BoxError> {
        let place = format!("{what}:{}", self.name);
        self.tell.send(place.clone())?;
        misbehave(&String::from_utf8_lossy(message.body()), &place)
    }
}

impl Hook for Telling {
    fn begin(&self, message: &Message) -> Result<(), BoxError> {
        self.happens("begin", message)
    }

    fn end(&self, message: &Message, _outcome: &Outcome) -> Result<(), BoxError> {
        self.happens("end", message)
    }

    fn failed(&self, message: &Message, _reason: &str) {
        self.happens("failed", message).unwrap();
    }
}

fn every_hook_that_began_is_finished_once_in_reverse(stage: &Stage) {
    let (tell, told) = sync_channel(100);
    let hook = |name| Telling { name, tell: tell.clone() };
    let consumer = Consumer::new("hooked", {
        let tell = tell.clone();
        move |body: String, _: &Message| {
            tell.send("handle".into())?;
            misbehave(&body, "handle").map(|()| Outcome::Ack)
        }
    });
    let consumer = consumer.hook(hook("outer")).hook(hook("inner")).retry(RetryPolicy::none()).concurrency(1);
    let _running = stage.start(consumer);
    let fine = "begin:outer begin:inner handle end:inner end:outer";
    let broken = "begin:outer begin:inner handle failed:inner failed:outer";
    check(stage, &told, "good", fine);
    check(stage, &told, "handle", broken);
    check(stage, &told, "handle!", broken);
    check(stage, &told, "begin:outer", "begin:outer");
    check(stage, &told, "begin:inner", "begin:outer begin:inner failed:outer");
    check(stage, &told, "begin:inner!", "begin:outer begin:inner failed:outer");
    check(stage, &told, "end:inner", "begin:outer begin:inner handle end:inner failed:outer");
    check(stage, &told, "end:outer", fine);
    check(stage, &told, "end:inner!", "begin:outer begin:inner handle end:inner failed:outer");
    check(stage, &told, "end:outer!", fine);
    check(stage, &told, "handle failed:inner!", broken);
    stage.until("all are done", || stage.ready("hooked") == 0);
    assert_eq!(stage.take("hooked.archive", 10).len(), 10);
}

fn misbehave(body: &str, place: &str) -> Result<(), BoxError> {
    let panics = format!("{place}!");
    match body.split(' ').find(|word| *word == place || *word == panics) {
        Some(word) if word == place => Err(place.into()),
        Some(_) => panic!("{place}"),
        None => Ok(()),
    }
}

#[track_caller]
fn check(stage: &Stage, told: &Receiver<String>, body: &str, expected: &str) {
    stage.publish("hooked", &[body]);
    let expected: Vec<&str> = expected.split(' ').collect();
    assert_eq!(take(told, expected.len()), expected, "{body}");
}

fn take(told: &Receiver<String>, count: usize) -> Vec<String> {
    (0..count).map(|_| told.recv_timeout(SOON).expect("it happens")).collect()
}
