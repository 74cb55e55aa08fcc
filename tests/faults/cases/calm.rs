//! Nothing breaks: then nothing may run twice, and nothing waits for what was sent to wait before it.

use super::Scene;
use crate::evidence::Deed;
use crate::fate::Fate;
use crate::field::Field;
use crate::judge::Verdict;
use crate::settings::{Mix, Settings};
use crate::support::wait::eventually;
use std::collections::HashMap;
use std::time::Duration;

/// Messages of every fate, two workers, no fault: each attempt runs exactly once.
pub fn no_faults(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let mut field = Field::new(scene.node, scene.settings(Mix::Everything), 2);
    field.start_all();
    let (url, settings) = (field.url().to_owned(), field.settings.clone());
    field.published.publish_raw(&url, &settings, 20);
    field.publish(3_000);
    scene.conclude_without_repeats(field)
}

/// What waits 4 s stands before what waits 250 ms.
pub fn long_before_short(scene: &mut Scene<'_>) -> (Field, Verdict) {
    waits(scene, Duration::from_millis(250), 5)
}

/// What waits 64 s stands before what waits one.
pub fn sixty_seconds_before_one(scene: &mut Scene<'_>) -> (Field, Verdict) {
    waits(scene, Duration::from_secs(1), 7)
}

/// How much longer than its level a message may wait: the machine has other things to do.
const SLACK_MS: u64 = 1_500;

fn waits(scene: &mut Scene<'_>, first: Duration, retries: u32) -> (Field, Verdict) {
    let first_delay_ms = u64::try_from(first.as_millis()).expect("it is short");
    let settings = Settings { first_delay_ms, retries, ..scene.settings(Mix::LongBeforeShort) };
    let mut field = Field::new(scene.node, settings, 1);
    field.start_all();
    field.publish(300);
    let longest = Duration::from_millis(first_delay_ms << (retries - 1));
    eventually("everything is done", longest + Duration::from_secs(20), || {
        field.entries().iter().filter(|entry| entry.deed == Deed::Done).count() == 300
    });
    let mut failed = HashMap::new();
    for entry in field.entries() {
        let fate = Fate::of(&field.settings, entry.number);
        let level = if fate == Fate::WaitLong { longest } else { first };
        let level_ms = u64::try_from(level.as_millis()).expect("it is short");
        match entry.deed {
            Deed::Done => {
                let waited = entry.at_ms - failed[&entry.number];
                if !(level_ms..level_ms + SLACK_MS).contains(&waited) {
                    field.complain(format!("{} waited {waited} ms, its level is {level_ms}", entry.number));
                }
            }
            _ => drop(failed.insert(entry.number, entry.at_ms)),
        }
    }
    scene.conclude_without_repeats(field)
}
