//! A storm: several workers, a steady flow of messages of every fate, and faults at moments that the seed decides.

use crate::field::Field;
use crate::injury::Injury;
use crate::settings::{DeadLetters, Kind, Layout, Mix, Settings};
use crate::support::node::Node;
use crate::support::pass;
use crate::table::Report;
use std::time::{Duration, Instant};

/// What a storm is made of.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    pub seed: u64,
    pub kind: Kind,
    pub layout: Layout,
    pub messages: u64,
    pub faults: usize,
}

const DRAINED_WITHIN: Duration = Duration::from_secs(90);
const RAW_MESSAGES: u64 = 20;

pub fn run(node: &mut Node, storm: Storm) -> Report {
    let mut rng = fastrand::Rng::with_seed(storm.seed);
    let mut settings = Settings::new(&format!("storm-{}", storm.seed), storm.kind, Mix::Everything, storm.seed);
    settings.layout = storm.layout;
    if storm.layout == Layout::Shared {
        // It has no queue of dead letters of its own.
        settings.dead_letters = DeadLetters::ByBroker;
    }
    settings.prefetch = *rng.choice(&[50, 100, 250, 500]).expect("there is a choice");
    settings.threads = rng.usize(4..12);
    settings.first_delay_ms = *rng.choice(&[50, 100, 250]).expect("there is a choice");
    let mut field = Field::new(node, settings, 3);
    field.start_all();
    let (url, settings) = (field.url().to_owned(), field.settings.clone());
    // By hand, and so before anything breaks. They are transient, and the broker's own dead-lettering leaves them so.
    if settings.dead_letters == DeadLetters::ByWorker {
        field.published.publish_raw(&url, &settings, RAW_MESSAGES);
    }
    field.settle_in();

    // While faults come, messages do: the publisher takes about as long as they are expected to.
    let over = Duration::from_millis(2_000) * u32::try_from(storm.faults).expect("a storm has few faults");
    let mut published = std::mem::take(&mut field.published);
    let publisher = std::thread::spawn(move || {
        let outcome = published.publish(&url, &settings, storm.messages, over);
        (published, outcome)
    });
    for _ in 0..storm.faults {
        wait(&mut field, Duration::from_millis(rng.u64(0..1_500)));
        Injury::any(&mut rng).inject(node, &mut field, &mut rng);
    }
    while !publisher.is_finished() {
        wait(&mut field, Duration::from_millis(50));
    }
    let (published, outcome) = publisher.join().expect("the publisher does not panic");
    field.published = published;
    outcome.unwrap_or_else(|what| field.complain(what));
    let verdict = field.conclude(node, DRAINED_WITHIN);
    Report::new("storm", storm.seed, field, verdict)
}

/// Until the next fault, with links healed when they are due.
fn wait(field: &mut Field, pause: Duration) {
    let due = Instant::now() + pause;
    loop {
        field.heal_due();
        let next = field.heals.iter().map(|(at, _)| *at).min().map_or(due, |heal| heal.min(due));
        let now = Instant::now();
        pass(next.saturating_duration_since(now));
        if now >= due {
            return;
        }
    }
}
