//! Latency: from publish to handler start and to ack, at constant rates, for all contenders in turns.

mod address;
mod clock;
mod collected;
mod consumers;
mod plot;
mod proxy;
mod publisher;
mod report;
mod samples;
mod subject;
mod trial;
mod wire;

pub use self::report::Report;
pub use self::subject::play;

use self::address::Address;
use self::report::Entry;
use self::samples::{Percentiles, Sample};
use self::subject::Subject;
use self::trial::{Field, Pace, Trial};
use crate::broker::PrivateBroker;
use crate::contender::RABBITMQ_C;
use crate::options::Options;
use bootstep::{Broker, Queue};

const QUEUE: &str = "bootstep.bench.latency";
const PREFETCH: u16 = 100;

/// In hundredths of the top rate, with the seconds of a trial: messages that come seldom need time to make percentiles of.
const RATES: [(u64, f64); 3] = [(1, 2.0), (HALF, 1.5), (90, 1.5)];
const HALF: u64 = 50;

/// At the start of each trial, and not counted.
const WARM_UP_SECONDS: f64 = 0.3;

/// A consumer that needs this part of a trial's time more has not kept up; it gets that rate so many times.
const BEHIND: f64 = 0.25;
const TRIES: usize = 2;

/// What is sent to find the top rate, and how often: what disturbs one of them must not set the rates of all.
const SATURATING: usize = 50_000;
const SATURATIONS: usize = 3;

/// Measures all of it and leaves the raw numbers in the folder.
pub fn measure(broker: &PrivateBroker, options: &Options) {
    let is_wanted = |hundredths: u64| options.wants(&format!("latency-{hundredths}"));
    if !RATES.iter().any(|(hundredths, _)| is_wanted(*hundredths)) {
        return;
    }
    let (subjects, missing) = Subject::all();
    let connection = Broker::amqp(broker.url()).and_then(|broker| broker.connect("latency")).expect("the broker answers");
    connection.declare_queue(&Queue::new(QUEUE)).expect("the suite may declare its queue");
    connection.purge_queue(QUEUE).expect("the suite may purge its queue");
    let samples = options.folder.join("latency.samples");
    let field = Field { broker: Address::of(broker.url()), connection, samples };
    let reference = subjects.iter().find(|it| it.name == RABBITMQ_C.name).unwrap_or(&subjects[0]);
    let top = samples::median((0..SATURATIONS).map(|_| saturated(&field, reference)).collect());
    let mut entries: Vec<Entry> = Vec::new();
    for round in 1..=options.rounds {
        for (hundredths, seconds) in RATES {
            if !is_wanted(hundredths) {
                continue;
            }
            println!("latency, round {round} of {}: {hundredths} % of {top:.0} messages/s", options.rounds);
            for subject in &subjects {
                if !is_hopeless(&entries, subject, hundredths) {
                    entries.push(entry(&field, subject, hundredths, top, seconds));
                }
            }
        }
    }
    let _ = std::fs::remove_file(&field.samples);
    field.connection.delete_queue(QUEUE).expect("the suite may delete its queue");
    Report { top_rate: top, found_with: reference.name.to_owned(), rounds: options.rounds, missing, entries }
        .write(&options.folder);
}

/// What publisher, broker, proxy and this consumer do together while the queue stays short, from what was handled after the first fifth.
fn saturated(field: &Field, subject: &Subject) -> f64 {
    let Trial { starts, .. } = field.with_proxy(subject, Pace::AtWill, SATURATING);
    let mut handled: Vec<u64> = starts.iter().map(|Sample { stamp, took }| stamp + took).collect();
    handled.sort_unstable();
    let counted = &handled[handled.len() / 5..];
    (counted.len() - 1) as f64 * 1e9 / (counted[counted.len() - 1] - counted[0]) as f64
}

/// A backlog only grows where a rate is too much, and so would the time that is spent on it.
fn is_hopeless(entries: &[Entry], subject: &Subject, hundredths: u64) -> bool {
    let its = entries.iter().filter(|entry| entry.contender == subject.name && entry.hundredths == hundredths);
    its.filter(|entry| entry.fell_behind).count() >= TRIES
}

fn entry(field: &Field, subject: &Subject, hundredths: u64, top: f64, seconds: f64) -> Entry {
    let rate = ((top * hundredths as f64 / 100.0) as u64).max(1);
    let messages = (rate as f64 * (seconds + WARM_UP_SECONDS)) as usize;
    let pace = Pace::PerSecond(rate);
    let (alone, proxied) = (field.without_proxy(subject, pace, messages), field.with_proxy(subject, pace, messages));
    Entry {
        contender: subject.name.to_owned(),
        hundredths,
        start: Percentiles::after(WARM_UP_SECONDS, &alone.starts),
        start_with_proxy: Percentiles::after(WARM_UP_SECONDS, &proxied.starts),
        ack: Percentiles::after(WARM_UP_SECONDS, &proxied.acks),
        fell_behind: [&alone, &proxied].iter().any(|trial| trial.behind_seconds() > seconds * BEHIND),
        late_share: alone.late_share.max(proxied.late_share),
    }
}
