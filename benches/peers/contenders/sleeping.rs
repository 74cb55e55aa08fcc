//! Threads that sleep for each message and do nothing else: as fast as handlers that sleep could ever be.

use crate::measure::{Meter, Sample};
use crate::task::Task;

pub fn sleep(task: &Task) -> Sample {
    let meter = Meter::start();
    let threads: Vec<_> = (0..task.threads)
        .map(|thread| {
            // Not a multiple: the first ones take one more.
            let messages = task.messages / task.threads + usize::from(thread < task.messages % task.threads);
            let handler = task.handler;
            std::thread::spawn(move || (0..messages).for_each(|_| handler.work()))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("sleeping does not panic"));
    meter.read()
}
