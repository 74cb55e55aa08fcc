//! A table of the settings, read field by field; what is wrong is collected, so that all is told at once.

use super::layers::rank;
use super::mistakes::{by_place, Mistakes};
use super::toml_text;
use super::tree::{self, kind_of, Tree};
use crate::duration;
use crate::message::{Table, Value as Argument};
use config::{Value, ValueKind};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A table, and what to call it.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    tree: Tree,
    path: String,
    place: String,
    mistakes: &'a Mistakes,
}

impl<'a> Fields<'a> {
    /// The top of all settings.
    pub fn top(tree: Tree, mistakes: &'a Mistakes) -> Self {
        Fields { tree, path: String::new(), place: String::new(), mistakes }
    }

    fn inner(&self, path: String, value: Value) -> Option<Fields<'a>> {
        let place = tree::origin_of(&value).unwrap_or_else(|| self.place.clone());
        match value.kind {
            ValueKind::Table(tree) => Some(Fields { tree, path, place, mistakes: self.mistakes }),
            _ => None,
        }
    }

    /// A key of it as one would write it from the top.
    pub fn path(&self, name: &str) -> String {
        let is_bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        let name = if name.chars().all(is_bare) { name.to_owned() } else { format!("{name:?}") };
        if self.path.is_empty() {
            name
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Where a key of it stands; without that key, where the table begins.
    pub fn place(&self, name: &str) -> String {
        self.tree.get(name).and_then(tree::origin_of).unwrap_or_else(|| self.place.clone())
    }

    /// Whether somebody has set it.
    pub fn has(&self, name: &str) -> bool {
        self.tree.get(name).is_some_and(|value| !matches!(value.kind, ValueKind::Nil))
    }

    /// Which layer a key comes from: the higher wins.
    pub fn rank(&self, name: &str) -> Option<u8> {
        self.has(name).then(|| rank(&self.place(name)))
    }

    /// The same without those of these keys that come from a lower layer than this.
    pub fn without(&self, names: &[&str], below: Option<u8>) -> Fields<'a> {
        let mut fields = self.clone();
        for name in names.iter().filter(|name| self.rank(name) < below) {
            fields.tree.remove(*name);
        }
        fields
    }

    /// One more mistake, of a key.
    pub fn wrong(&self, name: &str, what: &str) {
        self.mistakes.add(&self.place(name), format!("`{}` {what}", self.path(name)));
    }

    /// One more mistake, of the table.
    pub fn wrong_at_all(&self, what: &str) {
        self.mistakes.add(&self.place, format!("`{}` {what}", self.path));
    }

    /// Something dubious about a key.
    pub fn doubt(&self, name: &str, what: &str) {
        self.mistakes.doubt(&self.place(name), format!("`{}` {what}", self.path(name)));
    }

    /// Something dubious about the table.
    pub fn doubt_at_all(&self, what: &str) {
        self.mistakes.doubt(&self.place, format!("`{}` {what}", self.path));
    }

    /// No other keys may be in it.
    pub fn only(&self, known: &[&str]) {
        for (name, _) in tree::entries(&self.tree).filter(|(name, _)| !known.contains(&name.as_str())) {
            self.wrong(name, &format!("is no setting; {}", unknown(name, known)));
        }
    }

    /// These keys say nothing here.
    pub fn none_of(&self, names: &[&str], why: &str) {
        for name in names.iter().filter(|name| self.has(name)) {
            self.wrong(name, why);
        }
    }

    /// The value as it was written; one of the environment or a flag as TOML would read it, where it is not to be a text.
    pub fn raw(&self, name: &str) -> Option<Value> {
        let value = self.tree.get(name).filter(|_| self.has(name))?;
        match &value.kind {
            ValueKind::String(text) if self.rank(name) > Some(0) => {
                Some(toml_text::one(text.trim(), &self.place(name), self.mistakes).unwrap_or_else(|| value.clone()))
            }
            _ => Some(value.clone()),
        }
    }

    fn mistyped<T>(&self, name: &str, value: &Value, wanted: &str) -> Option<T> {
        self.wrong(name, &format!("is {} and has to be {wanted}", kind_of(value)));
        None
    }

    fn misfit<T>(&self, name: &str, item: &Value, wanted: &str) -> Option<T> {
        let place = tree::origin_of(item).unwrap_or_else(|| self.place(name));
        self.mistakes
            .add(&place, format!("`{}` has an item that is {} and has to be {wanted}", self.path(name), kind_of(item)));
        None
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<String> {
        let value = self.tree.get(name).filter(|_| self.has(name))?;
        match &value.kind {
            ValueKind::String(text) => Some(text.clone()),
            _ => self.mistyped(name, value, "a text in quotes"),
        }
    }

    /// One of these texts.
    pub fn one_of(&self, name: &str, allowed: &[&'static str]) -> Option<&'static str> {
        let text = self.text(name)?;
        let found = allowed.iter().find(|one| **one == text.trim());
        if found.is_none() {
            self.wrong(name, &format!("is `{text}`; {}", unknown(&text, allowed)));
        }
        found.copied()
    }

    /// `true` or `false`.
    pub fn truth(&self, name: &str) -> Option<bool> {
        let value = self.raw(name)?;
        match value.kind {
            ValueKind::Boolean(truth) => Some(truth),
            _ => self.mistyped(name, &value, "`true` or `false`"),
        }
    }

    /// A whole number in a range.
    pub fn whole(&self, name: &str, allowed: RangeInclusive<i64>) -> Option<i64> {
        let value = self.raw(name)?;
        let (least, most) = (allowed.start(), allowed.end());
        match value.kind {
            ValueKind::I64(number) if allowed.contains(&number) => Some(number),
            ValueKind::I64(number) => {
                self.wrong(name, &format!("is {number} and has to be from {least} to {most}"));
                None
            }
            _ => self.mistyped(name, &value, &format!("a whole number from {least} to {most}")),
        }
    }

    /// A number from 0 to 1.
    pub fn fraction(&self, name: &str) -> Option<f64> {
        let value = self.raw(name)?;
        let number = match value.kind {
            ValueKind::I64(number) => number as f64,
            ValueKind::Float(number) => number,
            _ => return self.mistyped(name, &value, "a number from 0.0 to 1.0"),
        };
        if !(0.0..=1.0).contains(&number) {
            self.wrong(name, &format!("is {number} and has to be from 0.0 to 1.0"));
            return None;
        }
        Some(number)
    }

    /// A time.
    pub fn time(&self, name: &str) -> Option<Duration> {
        let value = self.tree.get(name).filter(|_| self.has(name))?;
        self.time_of(name, value)
    }

    /// A time of more than nothing: a limit of nothing would be over before the message is looked at.
    pub fn lasting(&self, name: &str) -> Option<Duration> {
        let time = self.time(name)?;
        if time.is_zero() {
            self.wrong(name, "is zero, which is over before a message is handled; make it longer, or leave it out");
        }
        Some(time).filter(|time| !time.is_zero())
    }

    fn time_of(&self, name: &str, value: &Value) -> Option<Duration> {
        match &value.kind {
            ValueKind::String(text) => duration::parse(text).map_err(|why| self.wrong(name, &format!("cannot be: {why}"))).ok(),
            _ => self.mistyped(name, value, "a time in quotes, such as \"500ms\", \"30s\", \"5m\", \"2h\" or \"7d\""),
        }
    }

    fn items(&self, name: &str, wanted: &str) -> Option<Vec<Value>> {
        let value = self.raw(name)?;
        let place = self.place(name);
        match value.kind {
            ValueKind::Array(items) => Some(items),
            // In the environment nobody wants to write brackets and quotes.
            ValueKind::String(text) if self.rank(name) > Some(0) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Some(parts.map(|part| tree::value(part, &place)).collect())
            }
            _ => self.mistyped(name, &value, wanted),
        }
    }

    /// A list of times.
    pub fn times(&self, name: &str) -> Option<Vec<Duration>> {
        let items = self.items(name, "a list of times, such as [\"1s\", \"1m\"]")?;
        all(items.iter().map(|item| self.time_of(name, item)))
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        let text = |item: &Value| match &item.kind {
            ValueKind::String(text) => Some(text.clone()),
            _ => self.misfit(name, item, "a text in quotes"),
        };
        all(self.items(name, "a list of texts")?.iter().map(text))
    }

    /// A table in it.
    pub fn table(&self, name: &str) -> Option<Fields<'a>> {
        let value = self.raw(name)?;
        match self.inner(self.path(name), value.clone()) {
            Some(inner) => Some(inner),
            None => self.mistyped(name, &value, "a table"),
        }
    }

    /// A list of tables in it; none if it is not there.
    pub fn tables(&self, name: &str) -> Vec<Fields<'a>> {
        let items = self.items(name, "a list of tables").unwrap_or_default();
        let at = |(index, item): (usize, Value)| {
            let path = format!("{}[{index}]", self.path(name));
            match self.inner(path, item.clone()) {
                Some(inner) => Some(inner),
                None => self.misfit(name, &item, "a table"),
            }
        };
        items.into_iter().enumerate().filter_map(at).collect()
    }

    /// All that is in it, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = tree::entries(&self.tree).map(|(name, _)| name.clone()).collect();
        names.sort_by(|one, other| by_place(&self.place(one), &self.place(other)).then_with(|| one.cmp(other)));
        names
    }

    /// All that is in it, as tables, by name, in the order of the file.
    pub fn entries(&self) -> Vec<(String, Fields<'a>)> {
        self.names().into_iter().filter_map(|name| Some((name.clone(), self.table(&name)?))).collect()
    }

    /// A table of texts.
    pub fn pairs(&self, name: &str) -> Vec<(String, String)> {
        let Some(inner) = self.table(name) else { return Vec::new() };
        inner.names().into_iter().filter_map(|name| Some((name.clone(), inner.text(&name)?))).collect()
    }

    /// A table of AMQP arguments.
    pub fn arguments(&self, name: &str) -> Table {
        let Some(inner) = self.table(name) else { return Table::new() };
        let argument = |name: String| Some((name.clone(), argument(&inner.raw(&name)?)));
        inner.names().into_iter().filter_map(argument).collect()
    }
}

/// All of them if there are all; each is looked at, so that each mistake is told.
fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect()
}

/// A whole number in 64 bits, as RabbitMQ's own tools send it.
fn argument(value: &Value) -> Argument {
    match &value.kind {
        ValueKind::Boolean(truth) => Argument::Bool(*truth),
        ValueKind::I64(number) => Argument::I64(*number),
        ValueKind::Float(number) => Argument::F64(*number),
        ValueKind::String(text) => Argument::Text(text.clone()),
        ValueKind::Array(items) => Argument::Array(items.iter().map(argument).collect()),
        ValueKind::Table(inner) => {
            Argument::Table(tree::entries(inner).map(|(name, value)| (name.clone(), argument(value))).collect())
        }
        // Nobody here makes wider numbers.
        _ => Argument::Null,
    }
}

/// What is said of a name that is none of these.
pub(super) fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are `{}`", known.join("`, `")),
    }
}

/// The name that somebody may have meant.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let name = name.to_lowercase().replace('-', "_");
    let likeness = |candidate: &str| match candidate.starts_with(&*name) || name.starts_with(candidate) {
        true => 1.0,
        false => strsim::normalized_damerau_levenshtein(&name, candidate),
    };
    let nearest = known.map(|candidate| (candidate, likeness(candidate))).max_by(|one, other| one.1.total_cmp(&other.1))?;
    (nearest.1 >= 0.5).then_some(nearest.0)
}
