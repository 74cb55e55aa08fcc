//! bootstep: the whole worker with a typed handler, from its start until it has stopped and every ack has arrived.

use crate::measure::{Meter, Sample};
use crate::order::Order;
use crate::task::Task;
use bootstep::steps::SpawnPool;
use bootstep::{BoxError, Broker, Consumer, Json, Message, Outcome, Worker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, SyncSender};
use std::sync::Arc;
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(200);

pub fn on_pool(task: &Task) -> Sample {
    drain(task, |consumer| consumer)
}

pub fn on_intake_thread(task: &Task) -> Sample {
    drain(task, Consumer::on_intake_thread)
}

fn drain(task: &Task, place: fn(Consumer) -> Consumer) -> Sample {
    let (all, done) = sync_channel(1);
    let meter = Arc::new(Meter::start());
    let tally = Arc::new(Tally { handled: AtomicUsize::new(0), task: task.clone(), meter: meter.clone(), all });
    let mut worker = Worker::new(Broker::amqp(&task.url).expect("a good URL"));
    worker.steps.remove(SpawnPool::NAME);
    worker.steps.add(SpawnPool::of(task.threads));
    for queue in &task.queues {
        worker.steps.add(place(consumer(queue, task, tally.clone())));
    }
    let running = worker.start().expect("the worker boots");
    done.recv_timeout(LONGEST).expect("all messages are handled");
    // Stopping waits until every ack has arrived.
    assert_eq!(running.stop(), 0, "everything is settled");
    let sample = meter.read();
    assert_eq!(tally.handled.load(Ordering::Relaxed), task.messages, "each message is handled once");
    sample
}

fn consumer(queue: &str, task: &Task, tally: Arc<Tally>) -> Consumer {
    let work = task.handler;
    let handle = move |_order: Json<Order>, _: &Message| -> Result<Outcome, BoxError> {
        work.work();
        tally.count();
        Ok(Outcome::Ack)
    };
    Consumer::new(queue, handle).prefetch(task.prefetch)
}

struct Tally {
    handled: AtomicUsize,
    task: Task,
    meter: Arc<Meter>,
    all: SyncSender<()>,
}

impl Tally {
    fn count(&self) {
        if self.handled.fetch_add(1, Ordering::Relaxed) + 1 != self.task.messages {
            return;
        }
        if self.task.leaves_early {
            // What the rest of a long backlog would cost to leave behind is not the question.
            println!("{}", self.meter.read());
            std::process::exit(0);
        }
        let _ = self.all.try_send(());
    }
}
