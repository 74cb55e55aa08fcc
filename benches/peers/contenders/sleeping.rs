//! Threads that sleep for each message and do nothing else: as fast as handlers that sleep could ever be.

use crate::measure::{Meter, Sample};
use crate::task::Task;

pub fn sleep(task: &Task) -> Sample {
    let meter = Meter::start();
    // The others measure no more than these.
    let all = task.messages - 2 * task.skipped;
    let threads: Vec<_> = (0..task.threads)
        .map(|thread| {
            // Not a multiple: the first ones take one more.
            let messages = all / task.threads + usize::from(thread < all % task.threads);
            let handler = task.handler;
            std::thread::spawn(move || (0..messages).for_each(|_| handler.work()))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("sleeping does not panic"));
    meter.read()
}
