//! The measuring itself: case by case, and in each case all contenders in turns, so that a machine that gets busy is busy for all.

use crate::broker::PrivateBroker;
use crate::case::{Backlog, Case};
use crate::contender::{Contender, Lineup};
use crate::fill::Filler;
use crate::measure::Sample;
use crate::options::Options;
use crate::process::Running;
use crate::results::{CaseResults, Results, Series};
use crate::task::Task;
use std::process::Command;
use std::time::{Duration, Instant};

/// A broker, the contenders that can run, and how much is wanted.
pub struct Bench<'a> {
    pub broker: &'a PrivateBroker,
    pub lineup: &'a Lineup,
    pub options: &'a Options,
}

impl Bench<'_> {
    pub fn measure(&self, cases: &[Case]) -> Results {
        let filler = Filler::connect(self.broker.url());
        let cases: Vec<&Case> = cases.iter().filter(|case| self.options.wants(&case.name())).collect();
        let mut progress = Progress::over(cases.iter().map(|case| case.contenders.len()).sum());
        let measured = cases.iter().map(|case| {
            let results = self.measure_case(&filler, case);
            progress.tell(case, &results);
            results
        });
        let measured = measured.collect();
        filler.tidy_up(cases.iter().map(|case| case.queues).max().unwrap_or(0));
        Results {
            cases: measured,
            machine: self.broker.machine(),
            rounds: self.options.rounds,
            left_out: self.lineup.left_out().into_iter().map(|(name, why)| (name.into(), why.into())).collect(),
        }
    }

    fn measure_case(&self, filler: &Filler, case: &Case) -> CaseResults {
        let scale = self.options.scale;
        let mut contenders: Vec<Series> = Vec::new();
        for contender in &case.contenders {
            let messages = case.messages_for(contender, scale);
            contenders.push(Series { name: contender.name.into(), messages, runs: Vec::new() });
        }
        for _ in 0..self.options.rounds {
            for (contender, series) in case.contenders.iter().zip(&mut contenders) {
                match self.run(filler, case, contender, series.messages) {
                    Some(Ok(sample)) => series.runs.push(sample),
                    Some(Err(why)) => eprintln!("{}, {}: {why}", case.name(), contender.name),
                    None => {}
                }
            }
        }
        // None of its messages, nor their size, is the next case's.
        filler.purge(&case.queue_names());
        CaseResults {
            group: case.group.into(),
            label: case.label.clone(),
            bytes: case.bytes,
            prefetch: case.prefetch,
            contenders,
        }
    }

    // Nothing where the contender cannot run on this machine.
    fn run(&self, filler: &Filler, case: &Case, contender: &Contender, messages: usize) -> Option<Result<Sample, String>> {
        // The others' boot and end are not measured anyway.
        let skipped = if contender.can_skip() { case.skipped() } else { 0 };
        let task = Task {
            url: self.broker.url().to_owned(),
            queues: case.queue_names(),
            messages: messages + 2 * skipped,
            skipped,
            prefetch: case.prefetch,
            ack_every: 1,
            threads: case.threads,
            handler: case.handler,
            leaves_early: matches!(case.backlog, Backlog::Standing(_)),
        };
        let command = self.lineup.command(contender, &task)?;
        Some(if contender.needs_broker() { self.drain(filler, case, &task, command) } else { answer(command) })
    }

    fn drain(&self, filler: &Filler, case: &Case, task: &Task, command: Command) -> Result<Sample, String> {
        let waiting = match case.backlog {
            Backlog::Exact => task.messages_of_each(),
            Backlog::Standing(all) => ((all as f64 * self.options.scale) as usize).max(task.messages),
            Backlog::Arriving => 0,
        };
        filler.fill(&task.queues, waiting, case.bytes);
        if case.backlog == Backlog::Arriving {
            let running = Running::start(command)?;
            filler.wait_for_consumers(&task.queues[0], 1);
            filler.publish(&task.queues[0], task.messages, case.bytes);
            return running.answer()?.parse();
        }
        let sample = answer(command)?;
        let left = if task.leaves_early { 0 } else { task.queues.iter().map(|queue| filler.left(queue)).sum() };
        if left > 0 {
            return Err(format!("{left} messages are left on its queues"));
        }
        Ok(sample)
    }
}

fn answer(command: Command) -> Result<Sample, String> {
    Running::start(command)?.answer()?.parse()
}

/// How far it is, for whoever waits.
struct Progress {
    began: Instant,
    done: usize,
    all: usize,
}

impl Progress {
    fn over(all: usize) -> Progress {
        Progress { began: Instant::now(), done: 0, all }
    }

    fn tell(&mut self, case: &Case, results: &CaseResults) {
        self.done += case.contenders.len();
        let left = self.began.elapsed().as_secs_f64() / self.done as f64 * (self.all - self.done) as f64;
        println!("{} ({:.0?} done, about {:.0?} left)", case.name(), self.began.elapsed(), Duration::from_secs_f64(left));
        for series in results.contenders.iter().filter(|series| !series.runs.is_empty()) {
            println!("  {:<28}{:>9.0} messages/s {:>7.2} CPU s per 100,000", series.name, series.rate(), series.cpu());
        }
    }
}
