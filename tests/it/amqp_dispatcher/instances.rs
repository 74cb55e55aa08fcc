//! An instance for each slot: how many there are, when one is replaced, and how they end.

use super::{config, dispatcher, quick, scripted, start, Diary};
use crate::support::listed::stage_to_list;
use crate::support::node::shared_node;
use crate::support::stage::{Stage, SOON};
use bootstep::steps::amqp_dispatcher::{AmqpDispatcher, DispatchedConsumer, Proxy};
use bootstep::{BoxError, Message};
use crossbeam_channel::bounded;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

crate::on_both!(
    c2_three_never_ending_instances_take_three_of_five_messages,
    c3_a_failed_instance_is_replaced_when_its_shutdown_has_ended,
    an_instance_keeps_what_it_has_learned,
    a_shutdown_that_panics_does_no_harm,
    each_instance_is_shut_down_when_the_worker_ends,
);

/// C2: five messages, three instances that never end: three are received, and all five are still there afterwards.
fn c2_three_never_ending_instances_take_three_of_five_messages(stage: &Stage) {
    let (open, gate) = bounded::<()>(0);
    let diary = Diary::default();
    let seen = diary.clone();
    let dispatcher = dispatcher(move |_, _| {
        seen.note("begun");
        let _ = gate.recv();
        Err("the test is over".into())
    });
    let worker = dispatcher.worker(&config("  consumer_count: 3\n  prefetch_count: 5\n"), stage.broker.clone()).unwrap();
    let running = worker.drain_within(std::time::Duration::ZERO).start().unwrap();
    stage.publish("work", &["1", "2", "3", "4", "5"]);
    stage.until("three have begun", || diary.count("begun") == 3);
    assert_eq!(stage.ready("work"), 0, "the others are prefetched");
    assert_eq!(running.stop(), bootstep::EXIT_NOT_DRAINED);
    stage.until("all five are back", || stage.ready("work") == 5);
    assert_eq!(diary.count("begun"), 3);
    drop(open);
}

/// C3: an instance that failed is replaced by a new one, not before its `shutdown` has ended.
fn c3_a_failed_instance_is_replaced_when_its_shutdown_has_ended(stage: &Stage) {
    let diary = Diary::default();
    let (open, gate) = bounded::<()>(1);
    let (number, made) = (Arc::new(AtomicU32::new(0)), diary.clone());
    let dispatcher = AmqpDispatcher::new().consumer("test:Consumer", move || {
        let number = number.fetch_add(1, Ordering::Relaxed) + 1;
        made.note(format!("{number} is made"));
        let (seen, told, gate) = (made.clone(), made.clone(), gate.clone());
        Ok(scripted(
            move |_, message| {
                seen.note(format!("{number} handles {}", String::from_utf8_lossy(message.body())));
                if number == 1 {
                    Err("out of ink".into())
                } else {
                    Ok(())
                }
            },
            move |exception: Option<String>| {
                told.note(format!("{number} goes: {}", exception.unwrap_or_else(|| "the end".into())));
                if number == 1 {
                    gate.recv_timeout(SOON).unwrap();
                }
            },
        ))
    });
    let running = start(&quick(dispatcher), &config(""), &stage.broker);
    stage.publish("work", &["x"]);
    stage.until("it waits for an instance", || stage.ready("work.retry.50ms") == 0 && diary.events().len() == 3);
    assert_eq!(diary.events(), ["1 is made", "1 handles x", "1 goes: out of ink"]);
    open.send(()).unwrap();
    stage.until("the new one has handled it", || diary.count("2 handles x") == 1);
    assert_eq!(running.stop(), 0);
    assert_eq!(diary.events()[3..], ["2 is made", "2 handles x", "2 goes: the end"]);
}

fn an_instance_keeps_what_it_has_learned(stage: &Stage) {
    let diary = Diary::default();
    let seen = diary.clone();
    let dispatcher = AmqpDispatcher::new().consumer("test:Consumer", move || {
        let (seen, mut handled) = (seen.clone(), 0);
        Ok(scripted(
            move |_, _| {
                handled += 1;
                seen.note(handled.to_string());
                Ok(())
            },
            |_| {},
        ))
    });
    let _running = start(&dispatcher, &config(""), &stage.broker);
    stage.publish("work", &["a", "b", "c"]);
    stage.until("all are handled", || diary.events().len() == 3);
    assert_eq!(diary.events(), ["1", "2", "3"]);
}

fn a_shutdown_that_panics_does_no_harm(stage: &Stage) {
    let diary = Diary::default();
    let seen = diary.clone();
    let dispatcher = AmqpDispatcher::new().consumer("test:Consumer", move || {
        let seen = seen.clone();
        Ok(scripted(
            move |_, message| {
                seen.note("handled");
                if message.attempt() < 3 {
                    Err("again".into())
                } else {
                    Ok(())
                }
            },
            |_| panic!("no way out"),
        ))
    });
    let running = start(&quick(dispatcher), &config(""), &stage.broker);
    stage.publish("work", &["x"]);
    stage.until("it was handled well", || diary.count("handled") == 3);
    assert_eq!(running.stop(), 0);
    assert_eq!([stage.ready("work"), stage.ready("work.archive")], [0, 0]);
}

fn each_instance_is_shut_down_when_the_worker_ends(stage: &Stage) {
    let diary = Diary::default();
    let seen = diary.clone();
    let dispatcher = AmqpDispatcher::new().consumer("test:Consumer", move || {
        let seen = seen.clone();
        Ok(scripted(|_, _| Ok(()), move |why: Option<String>| seen.note(format!("{why:?}"))))
    });
    let running = start(&dispatcher, &config("  consumer_count: 4\n"), &stage.broker);
    // Over a lost connection they stay.
    if let Some(memory) = &stage.memory {
        memory.sever();
        memory.until("it is back", SOON, |memory| memory.consumers("work") == 1).unwrap();
    }
    assert_eq!(diary.events(), [""; 0]);
    assert_eq!(running.stop(), 0);
    assert_eq!(diary.events(), ["None"; 4]);
}

/// C4: the connection goes while a consumer is at its message; the message comes again, and is acked.
#[test]
fn c4_a_message_whose_connection_went_comes_again_and_is_acked() {
    let (stage, listing) = stage_to_list();
    let (vhost, diary) = (listing.vhost().to_owned(), Diary::default());
    let seen = diary.clone();
    let dispatcher = dispatcher(move |_, message| {
        seen.note(format!("redelivered: {}", message.is_redelivered()));
        if !message.is_redelivered() {
            shared_node().ctl(&["close_all_connections", "--vhost", &vhost, "by a consumer"]);
        }
        Ok(())
    });
    let running = start(&dispatcher, &config(""), &stage.broker);
    stage.publish("work", &["x"]);
    stage.until("it came again", || diary.count("redelivered: true") == 1);
    assert_eq!(running.stop(), 0);
    assert_eq!(diary.events(), ["redelivered: false", "redelivered: true"]);
    let connection = stage.broker.connect("after").unwrap();
    assert_eq!(connection.declare_queue(&"work".into()).unwrap().messages, 0);
}

/// It is never made.
struct Silent;

impl DispatchedConsumer for Silent {
    fn consume(&mut self, _: &Proxy<'_>, _: &Message) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn an_instance_that_cannot_be_made_ends_the_boot() {
    let dispatcher = AmqpDispatcher::new().consumer("test:Consumer", || Err::<Silent, _>("no database".into()));
    let stage = Stage::memory();
    let err = dispatcher.worker(&config(""), stage.broker.clone()).unwrap().start().unwrap_err().to_string();
    assert_eq!(err, "step `amqp-dispatcher` did not start: no instance of `test:Consumer` could be made: no database");
}

#[test]
fn a_replacement_that_cannot_be_made_is_tried_again_with_the_next_message() {
    let stage = Stage::memory();
    let (made, diary) = (Arc::new(AtomicU32::new(0)), Diary::default());
    let seen = diary.clone();
    let dispatcher = AmqpDispatcher::new().consumer("test:Consumer", move || {
        let number = made.fetch_add(1, Ordering::Relaxed) + 1;
        if number == 2 {
            return Err("no database".into());
        }
        let seen = seen.clone();
        Ok(scripted(
            move |_, _| {
                seen.note(format!("handled by {number}"));
                if number == 1 {
                    Err("broken".into())
                } else {
                    Ok(())
                }
            },
            |_| {},
        ))
    });
    let running = start(&quick(dispatcher), &config(""), &stage.broker);
    stage.publish("work", &["x"]);
    stage.until("it was handled well", || diary.count("handled by 3") == 1);
    assert_eq!(running.stop(), 0);
    assert_eq!(diary.events(), ["handled by 1", "handled by 3"]);
}
