//! Values by delivery tag. Tags count up and are mostly taken in the order they came, so this is a queue with holes, not a tree.

use std::collections::VecDeque;

/// Holes that cost nothing worth tidying up for.
const HOLES_FOR_FREE: usize = 64;

/// Never holds much more than what is in it: one value that stays for ever must not make it grow.
#[derive(Debug)]
pub(crate) struct Tagged<T> {
    /// Tags rise; the first one has a value, or there is none.
    slots: VecDeque<Slot<T>>,
    filled: usize,
}

#[derive(Debug)]
struct Slot<T> {
    tag: u64,
    value: Option<T>,
}

impl<T> Tagged<T> {
    pub fn new() -> Self {
        Tagged { slots: VecDeque::new(), filled: 0 }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// The value with the lowest tag.
    pub fn first(&self) -> Option<(u64, &T)> {
        let first = self.slots.front()?;
        first.value.as_ref().map(|value| (first.tag, value))
    }

    /// Keeps a value; under a tag that is there already it takes the other's place.
    pub fn insert(&mut self, tag: u64, value: T) {
        let slot = Slot { tag, value: Some(value) };
        if self.slots.back().is_none_or(|last| last.tag < tag) {
            self.slots.push_back(slot);
            self.filled += 1;
            return;
        }
        match self.slots.binary_search_by_key(&tag, |slot| slot.tag) {
            Ok(place) => {
                self.filled += usize::from(self.slots[place].value.is_none());
                self.slots[place] = slot;
            }
            Err(place) => {
                self.slots.insert(place, slot);
                self.filled += 1;
            }
        }
    }

    pub fn get_mut(&mut self, tag: u64) -> Option<&mut T> {
        let place = self.place_of(tag)?;
        self.slots[place].value.as_mut()
    }

    pub fn remove(&mut self, tag: u64) -> Option<T> {
        let place = self.place_of(tag)?;
        let value = self.slots[place].value.take()?;
        self.filled -= 1;
        self.tidy();
        Some(value)
    }

    /// Takes the first value out if it is one of those that are wanted.
    pub fn pop_first_if(&mut self, is_wanted: impl FnOnce(u64, &T) -> bool) -> Option<(u64, T)> {
        let (tag, value) = self.first()?;
        if !is_wanted(tag, value) {
            return None;
        }
        let value = self.slots.pop_front()?.value?;
        self.filled -= 1;
        self.trim();
        Some((tag, value))
    }

    pub fn retain(&mut self, mut keep: impl FnMut(u64, &T) -> bool) {
        self.slots.retain(|slot| slot.value.as_ref().is_some_and(|value| keep(slot.tag, value)));
        self.filled = self.slots.len();
    }

    fn place_of(&self, tag: u64) -> Option<usize> {
        // Where no tag was left out before it, that is how far it stands behind the first.
        let likely = usize::try_from(tag.checked_sub(self.slots.front()?.tag)?).ok()?;
        match self.slots.get(likely) {
            Some(slot) if slot.tag == tag => Some(likely),
            _ => self.slots.binary_search_by_key(&tag, |slot| slot.tag).ok(),
        }
    }

    fn tidy(&mut self) {
        self.trim();
        if self.slots.len() > HOLES_FOR_FREE + 2 * self.filled {
            self.slots.retain(|slot| slot.value.is_some());
        }
    }

    fn trim(&mut self) {
        while self.slots.front().is_some_and(|first| first.value.is_none()) {
            self.slots.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn one_that_stays_costs_a_bounded_number_of_holes() {
        let mut tagged = Tagged::new();
        tagged.insert(1, ());
        for tag in 2..100_000 {
            tagged.insert(tag, ());
            assert_eq!(tagged.remove(tag), Some(()));
            assert!(tagged.slots.len() <= HOLES_FOR_FREE + 3);
        }
        assert_eq!((tagged.len(), tagged.first()), (1, Some((1, &()))));
    }

    proptest! {
        #[test]
        fn it_does_what_a_tree_does(deeds in proptest::collection::vec((0u8..5, 0u64..40), 0..400)) {
            let (mut tagged, mut tree, mut last) = (Tagged::new(), BTreeMap::new(), 0u64);
            for (number, (deed, tag)) in deeds.into_iter().enumerate() {
                match deed {
                    // As a broker does, with a tag left out now and then; and as it should not.
                    0 | 1 => {
                        last += 1 + tag % 2;
                        tagged.insert(last, number);
                        tree.insert(last, number);
                    }
                    2 => {
                        tagged.insert(tag, number);
                        tree.insert(tag, number);
                        last = last.max(tag);
                    }
                    3 => prop_assert_eq!(tagged.remove(tag + last / 2), tree.remove(&(tag + last / 2))),
                    _ => {
                        let first = tree.first_key_value().map(|(tag, value)| (*tag, *value)).filter(|(tag, _)| *tag % 3 > 0);
                        first.map(|(tag, _)| tree.remove(&tag));
                        prop_assert_eq!(tagged.pop_first_if(|tag, _| tag % 3 > 0), first);
                    }
                }
                prop_assert_eq!(tagged.len(), tree.len());
                prop_assert_eq!(tagged.first(), tree.first_key_value().map(|(tag, value)| (*tag, value)));
                prop_assert_eq!(tagged.get_mut(tag).copied(), tree.get(&tag).copied());
            }
            tagged.retain(|tag, _| tag % 2 == 0);
            tree.retain(|tag, _| tag % 2 == 0);
            prop_assert_eq!(tagged.len(), tree.len());
            prop_assert_eq!(tagged.first(), tree.first_key_value().map(|(tag, value)| (*tag, value)));
        }
    }
}
