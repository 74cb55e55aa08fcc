//! What a channel has been given and has not settled, by delivery tag.

use super::queue::Entry;
use std::collections::VecDeque;

/// Tags on a channel count up by one from 1, so a tag's place is known; a settled one leaves a hole until all before it are.
pub(super) struct Unsettled {
    first_tag: u64,
    entries: VecDeque<Option<Entry>>,
    count: usize,
}

impl Unsettled {
    pub fn new() -> Self {
        Unsettled { first_tag: 1, entries: VecDeque::new(), count: 0 }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// How many are unsettled from this tag on.
    pub fn len_from(&self, tag: u64) -> usize {
        match usize::try_from(tag.saturating_sub(self.first_tag)).unwrap_or(usize::MAX) {
            0 => self.count,
            older => self.entries.iter().skip(older).flatten().count(),
        }
    }

    /// The tag of the oldest that is unsettled, or of the next if none is.
    pub fn first_tag(&self) -> u64 {
        self.first_tag
    }

    /// The tag that the next one gets.
    pub fn next_tag(&self) -> u64 {
        self.first_tag + self.entries.len() as u64
    }

    /// Keeps the entry and answers its tag.
    pub fn keep(&mut self, entry: Entry) -> u64 {
        self.entries.push_back(Some(entry));
        self.count += 1;
        self.next_tag() - 1
    }

    /// Takes one out, if it is unsettled.
    pub fn take(&mut self, tag: u64) -> Option<Entry> {
        let place = self.place_of(tag)?;
        let entry = self.entries[place].take();
        self.count -= 1;
        self.close_up();
        entry
    }

    /// Forgets this one and all before it; says whether the tag itself was unsettled, without which nothing is forgotten.
    pub fn forget_up_to(&mut self, tag: u64) -> bool {
        let Some(place) = self.place_of(tag) else { return false };
        let settled = self.entries.drain(..=place).flatten().count();
        self.first_tag = tag + 1;
        self.count -= settled;
        self.close_up();
        true
    }

    /// Everything unsettled, the newest first: put back in that order, each goes to the front.
    pub fn into_newest_first(self) -> impl Iterator<Item = Entry> {
        self.entries.into_iter().rev().flatten()
    }

    fn place_of(&self, tag: u64) -> Option<usize> {
        let place = usize::try_from(tag.checked_sub(self.first_tag)?).ok()?;
        matches!(self.entries.get(place), Some(Some(_))).then_some(place)
    }

    fn close_up(&mut self) {
        while matches!(self.entries.front(), Some(None)) {
            self.entries.pop_front();
            self.first_tag += 1;
        }
    }
}
