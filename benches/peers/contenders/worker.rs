//! bootstep: the whole worker with a typed handler, from its start until it has stopped and every ack has arrived.

use crate::measure::{Meter, Sample};
use crate::order::Order;
use crate::task::Task;
use bootstep::steps::SpawnPool;
use bootstep::{BoxError, Broker, Consumer, Json, Message, Outcome, Worker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, SyncSender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(200);

pub fn on_pool(task: &Task) -> Sample {
    drain(task, |consumer| consumer)
}

pub fn on_intake_thread(task: &Task) -> Sample {
    drain(task, Consumer::on_intake_thread)
}

fn drain(task: &Task, place: fn(Consumer) -> Consumer) -> Sample {
    // What it warns of spoils a measurement, so it is seen.
    env_logger::Builder::new().parse_filters("warn").init();
    let (all, done) = sync_channel(1);
    let tally = Arc::new(Tally::of(task, all));
    let mut worker = Worker::new(Broker::amqp(&task.url).expect("a good URL"));
    worker.steps.remove(SpawnPool::NAME);
    worker.steps.add(SpawnPool::of(task.threads));
    for queue in &task.queues {
        worker.steps.add(place(consumer(queue, task, tally.clone())));
    }
    let running = worker.start().expect("the worker boots");
    let _ = tally.may_begin.set(());
    done.recv_timeout(LONGEST).expect("all messages are handled");
    // Stopping waits until every ack has arrived.
    assert_eq!(running.stop(), 0, "everything is settled");
    let sample = *tally.sample.get_or_init(|| tally.read());
    assert_eq!(tally.handled.load(Ordering::Relaxed), task.messages, "each message is handled once");
    sample
}

fn consumer(queue: &str, task: &Task, tally: Arc<Tally>) -> Consumer {
    let work = task.handler;
    let handle = move |_order: Json<Order>, _: &Message| -> Result<Outcome, BoxError> {
        tally.may_begin.wait();
        work.work();
        tally.count();
        Ok(Outcome::Ack)
    };
    Consumer::new(queue, handle).prefetch(task.prefetch)
}

/// How many are handled, and the cost between the moments that count.
struct Tally {
    handled: AtomicUsize,
    task: Task,
    /// Where only the middle of a drain is measured, handlers wait until the boot is over; else from the start.
    may_begin: OnceLock<()>,
    meter: OnceLock<Meter>,
    sample: OnceLock<Sample>,
    all: SyncSender<()>,
}

impl Tally {
    fn of(task: &Task, all: SyncSender<()>) -> Tally {
        let (may_begin, meter) = match task.skipped {
            0 => (OnceLock::from(()), OnceLock::from(Meter::start())),
            _ => (OnceLock::new(), OnceLock::new()),
        };
        Tally { handled: AtomicUsize::new(0), task: task.clone(), may_begin, meter, sample: OnceLock::new(), all }
    }

    fn read(&self) -> Sample {
        self.meter.get().expect("it runs since the first message that is measured").read()
    }

    fn count(&self) {
        let Task { messages, skipped, leaves_early, .. } = self.task;
        let handled = self.handled.fetch_add(1, Ordering::Relaxed) + 1;
        if skipped > 0 && handled == skipped {
            let _ = self.meter.set(Meter::start());
        }
        if handled == messages - skipped && leaves_early {
            // What the rest of a long backlog would cost to leave behind is not the question.
            println!("{}", self.read());
            std::process::exit(0);
        }
        if skipped > 0 && handled == messages - skipped {
            let _ = self.sample.set(self.read());
        }
        if handled == messages {
            let _ = self.all.try_send(());
        }
    }
}
