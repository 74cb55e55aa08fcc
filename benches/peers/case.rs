//! A case: one setting in which some contenders are measured side by side.

use crate::contender::{Contender, CELERY, LAPIN, PIKA};
use crate::task::Work;

/// What the queue holds when a contender begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// All that is measured, and nothing else.
    Exact,
    /// So many messages, of which the first ones are measured.
    Standing(usize),
    /// Nothing: what is measured is published meanwhile.
    Arriving,
}

/// One setting. Of all those in a group, one thing differs.
#[derive(Clone, Debug)]
pub struct Case {
    pub group: &'static str,
    pub label: String,
    pub bytes: usize,
    pub queues: usize,
    pub messages: usize,
    pub prefetch: u16,
    pub threads: usize,
    pub handler: Work,
    pub backlog: Backlog,
    /// Whether only the middle of a longer drain is measured, without what it costs to boot and to end.
    pub is_steady: bool,
    pub contenders: Vec<Contender>,
}

impl Case {
    /// What the others differ from: 100,000 messages of 100 bytes on one queue, prefetch 100, two threads, a handler that does
    /// nothing.
    pub fn base(group: &'static str, label: impl ToString, contenders: &[Contender]) -> Case {
        Case {
            group,
            label: label.to_string(),
            bytes: 100,
            queues: 1,
            messages: 100_000,
            prefetch: 100,
            threads: 2,
            handler: Work::Nothing,
            backlog: Backlog::Exact,
            is_steady: false,
            contenders: contenders.to_vec(),
        }
    }

    /// Its name for `BENCH_ONLY`: `prefetch-100`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.group, self.label).replace(' ', "-")
    }

    /// How many messages this contender gets of this case: fewer if it is slow, and as many on each queue.
    pub fn messages_for(&self, contender: &Contender, scale: f64) -> usize {
        let share = if [PIKA, CELERY].contains(contender) {
            0.2
        } else if *contender == LAPIN && self.handler == Work::Nothing {
            0.4
        } else {
            1.0
        };
        let wanted = (self.messages as f64 * share * scale) as usize;
        (wanted / self.queues).max(1) * self.queues
    }

    /// How many messages come before what is measured, and how many behind: enough to have all of the prefetch under way.
    pub fn skipped(&self) -> usize {
        if self.is_steady {
            2 * self.queues * usize::from(self.prefetch)
        } else {
            0
        }
    }

    pub fn queue_names(&self) -> Vec<String> {
        (0..self.queues).map(queue_name).collect()
    }
}

/// The queues are the same ones in all cases.
pub fn queue_name(number: usize) -> String {
    format!("bootstep.peers.{number}")
}
