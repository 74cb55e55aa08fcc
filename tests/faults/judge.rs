//! The count: what each number's fate allows, against where it was found. Pure, so that it can be shown to find what is wrong.

use crate::evidence::{Deed, Entry};
use crate::fate::{Dress, Fate, Place};
use crate::injury::Injected;
use crate::letters::Letter;
use crate::publisher::Published;
use crate::settings::{DeadLetters, Kind, Settings};
use std::collections::{BTreeMap, HashMap};

/// Everything that is known when a run is over.
#[derive(Default)]
pub struct Findings {
    pub entries: Vec<Entry>,
    pub archive: Vec<Letter>,
    pub dead: Vec<Letter>,
    /// What arrived by way of CC headers.
    pub copies: Vec<Letter>,
    /// What handlers published.
    pub published: Vec<Letter>,
    /// What still lay on a queue where nothing may be left, and on which.
    pub left: Vec<(String, u64)>,
    /// Whether the broker still held something that nobody could read: on its way from one queue to another.
    pub unread: bool,
    /// When RabbitMQ itself could lose what was on its way back from a classic retry queue: from, to, in milliseconds.
    pub hops: Vec<(u64, u64)>,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub messages: u64,
    pub uncertain: u64,
    pub lost: Vec<u64>,
    /// Nowhere, and last seen when RabbitMQ was to move it from or to a classic queue before the broker was killed.
    pub lost_by_hop: Vec<u64>,
    pub duplicated: u64,
    /// Of the duplicated, those that no fault explains.
    pub unexplained: Vec<u64>,
    /// Attempts that ran more than once, whatever became of the message.
    pub repeated: u64,
    pub stuck: Vec<(u64, String)>,
    pub misplaced: Vec<(u64, String)>,
}

/// A connection that fell silent is noticed, given up and replaced within this, and what was on it is delivered again.
const AFTERMATH_MS: u64 = 20_000;

/// A classic queue writes down what came without a confirm within this, at the latest.
const UNSAFE_MS: u64 = 2_000;

#[derive(Default)]
struct Track {
    /// How often at each place.
    places: BTreeMap<Place, u64>,
    first_ms: Option<u64>,
    last_ms: u64,
    last: Option<(Deed, u32)>,
    copies: u64,
    published: u64,
}

/// Compares what was found with what was published.
pub fn judge(settings: &Settings, published: &Published, injected: &[Injected], findings: &Findings) -> Verdict {
    let ranges = || published.confirmed.iter().chain(&published.uncertain);
    let mut tracks: HashMap<u64, Track> = ranges().flat_map(Clone::clone).map(|number| (number, Track::default())).collect();
    let mut verdict = Verdict {
        messages: published.count(),
        uncertain: published.uncertain.iter().map(|numbers| numbers.end - numbers.start).sum(),
        ..Verdict::default()
    };
    let mut attempts: HashMap<(u64, u32), u64> = HashMap::new();
    for entry in &findings.entries {
        let track = tracks.entry(entry.number).or_default();
        track.first_ms = track.first_ms.or(Some(entry.at_ms));
        track.last_ms = entry.at_ms;
        track.last = Some((entry.deed, entry.attempt));
        if entry.deed == Deed::Done {
            *track.places.entry(Place::Done).or_default() += 1;
        }
        if entry.deed != Deed::Requeued {
            *attempts.entry((entry.number, entry.attempt)).or_default() += 1;
        }
    }
    verdict.repeated = attempts.values().map(|times| times - 1).sum();
    for (place, letters) in [(Place::Archive, &findings.archive), (Place::Dead, &findings.dead)] {
        for letter in letters {
            *tracks.entry(letter.number).or_default().places.entry(place).or_default() += 1;
        }
    }
    findings.copies.iter().for_each(|letter| tracks.entry(letter.number).or_default().copies += 1);
    findings.published.iter().for_each(|letter| tracks.entry(letter.number).or_default().published += 1);
    let letters = [&findings.archive, &findings.dead, &findings.copies, &findings.published];
    for letter in letters.into_iter().flatten() {
        verdict.misplaced.extend(letter.wrong.clone().map(|what| (letter.number, what)));
    }
    let left: HashMap<u64, &String> = findings.left.iter().map(|(queue, number)| (*number, queue)).collect();
    for (number, track) in &tracks {
        let judged = Judged { settings, published, injected, findings, number: *number, track };
        judged.judge(left.get(number).copied(), &mut verdict);
    }
    verdict
}

/// One number, under the judge's eyes.
struct Judged<'a> {
    settings: &'a Settings,
    published: &'a Published,
    injected: &'a [Injected],
    findings: &'a Findings,
    number: u64,
    track: &'a Track,
}

impl Judged<'_> {
    fn judge(&self, left_on: Option<&String>, verdict: &mut Verdict) {
        let (number, track) = (self.number, self.track);
        if !self.published.is_known(number) {
            verdict.misplaced.push((number, "nobody published it".into()));
            return;
        }
        let fate = Fate::of(self.settings, number);
        let wanted = fate.place();
        if let Some(queue) = left_on {
            verdict.stuck.push((number, queue.clone()));
        }
        for (place, times) in &track.places {
            if *place != wanted {
                verdict.misplaced.push((number, format!("{times} times {place:?} and not {wanted:?}")));
            }
        }
        let times = track.places.get(&wanted).copied().unwrap_or(0);
        if times == 0 && left_on.is_none() {
            self.nowhere(verdict);
        }
        if times > 1 {
            verdict.duplicated += times - 1;
            if !self.is_explained() {
                verdict.unexplained.push(number);
            }
        }
        self.judge_beside(fate, times, verdict);
    }

    fn nowhere(&self, verdict: &mut Verdict) {
        if !self.published.is_confirmed(self.number) {
            return;
        }
        if self.findings.unread && matches!(self.track.last, Some((Deed::Failed, _))) {
            verdict.stuck.push((self.number, "on its way from a retry queue".into()));
            return;
        }
        match self.was_lost_by_hop() {
            true => verdict.lost_by_hop.push(self.number),
            false => verdict.lost.push(self.number),
        }
    }

    /// What comes of a message beside itself: the copy for its CC, and what its handler published.
    fn judge_beside(&self, fate: Fate, times: u64, verdict: &mut Verdict) {
        let (number, track) = (self.number, self.track);
        let copies = u64::from(Dress::of(self.settings, number).cc);
        if track.copies > copies {
            verdict.misplaced.push((number, format!("{} copies by its CC", track.copies)));
        } else if track.copies < copies && self.published.is_confirmed(number) {
            verdict.lost.push(number);
        }
        if fate != Fate::Publish {
            if track.published > 0 {
                verdict.misplaced.push((number, "its handler did not publish, and yet".into()));
            }
        } else if times > 0 && track.published == 0 && self.published.is_confirmed(number) {
            // One that was never confirmed may be handled, and be gone together with what its handler published.
            verdict.lost.push(number);
        } else if track.published > 1 && times < 2 && !self.is_explained() {
            verdict.unexplained.push(number);
        }
    }

    /// A fault from shortly before its first run to its last, or soon after: whoever cannot hear of a confirm publishes again.
    fn is_explained(&self) -> bool {
        let first = self.track.first_ms.unwrap_or(0);
        let last = self.track.last_ms.max(first + AFTERMATH_MS);
        self.injected.iter().any(|fault| fault.begin_ms <= last && fault.end_ms + AFTERMATH_MS >= first)
    }

    /// Only what RabbitMQ itself moved, unconfirmed, and was never seen again: back from a retry queue, or to the dead letters; or
    /// what had just come back from a retry, and was not yet where it should go.
    fn was_lost_by_hop(&self) -> bool {
        let Some((deed, attempt)) = self.track.last else { return false };
        let (settings, seen_ms) = (self.settings, self.track.last_ms);
        let is_moved_by_broker = match deed {
            Deed::Failed => attempt <= settings.retries,
            Deed::Rejected => settings.dead_letters == DeadLetters::ByBroker,
            _ => false,
        };
        let is_hop = |(from, to): &(u64, u64)| match is_moved_by_broker {
            true => seen_ms <= to + 1_000 && seen_ms + AFTERMATH_MS + self.longest_wait_ms() >= *from,
            // The broker had handed it out before it was safe on its queue.
            false => attempt > 1 && seen_ms <= *to && seen_ms + UNSAFE_MS >= *from,
        };
        settings.kind == Kind::Classic && self.findings.hops.iter().any(is_hop)
    }

    fn longest_wait_ms(&self) -> u64 {
        self.settings.first_delay_ms << self.settings.retries
    }
}

impl Verdict {
    /// Whether every message is in exactly one place, duplicates by faults aside.
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.stuck.is_empty() && self.misplaced.is_empty() && self.unexplained.is_empty()
    }

    /// What is wrong, in words: at most so many of each.
    pub fn words(&self, at_most: usize) -> Vec<String> {
        let numbers = |what: &str, numbers: &[u64]| {
            let some: Vec<String> = numbers.iter().take(at_most).map(u64::to_string).collect();
            (!numbers.is_empty()).then(|| format!("{} {what}: {}", numbers.len(), some.join(", ")))
        };
        let placed = |what: &str, placed: &[(u64, String)]| {
            let some: Vec<String> = placed.iter().take(at_most).map(|(number, place)| format!("{number} ({place})")).collect();
            (!placed.is_empty()).then(|| format!("{} {what}: {}", placed.len(), some.join(", ")))
        };
        let lost = numbers("lost", &self.lost);
        let rest = [placed("stuck", &self.stuck), placed("misplaced", &self.misplaced)];
        lost.into_iter()
            .chain(rest.into_iter().flatten())
            .chain(numbers("duplicated without a fault", &self.unexplained))
            .collect()
    }
}

#[cfg(test)]
mod tests;
