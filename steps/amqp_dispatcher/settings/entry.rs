//! A mapping of a YAML file, read field by field; what is wrong is collected with its line, so that all is told at once.

mod names;

pub use names::{find, twice};

use names::nearest;
use saphyr::{MarkedYaml, Scalar, YamlData};
use std::ops::RangeInclusive;

/// All that is wrong, in words for the person who wrote the file.
pub type Mistakes = Vec<String>;

/// A mapping, and what to call it in an error.
pub struct Entry<'a> {
    what: String,
    line: usize,
    fields: Vec<(&'a str, &'a MarkedYaml<'a>)>,
}

impl<'a> Entry<'a> {
    /// The mapping that this node is; a key that is none of the known ones is a mistake.
    pub fn of(what: &str, node: &'a MarkedYaml<'a>, known: &[&'static str], mistakes: &mut Mistakes) -> Option<Self> {
        let line = node.span.start.line();
        let mut entry = Entry { what: what.to_owned(), line, fields: Vec::new() };
        if !matches!(node.data, YamlData::Mapping(_)) {
            mistakes.push(format!("line {line}: {what} is no mapping of keys to values"));
            return None;
        }
        entry.take_fields(node, known, mistakes);
        Some(entry)
    }

    /// The same entry under the name that it turned out to have.
    pub fn called(mut self, what: String) -> Self {
        self.what = what;
        self
    }

    fn take_fields(&mut self, node: &'a MarkedYaml<'a>, known: &[&'static str], mistakes: &mut Mistakes) {
        let YamlData::Mapping(mapping) = &node.data else { return };
        let mut merged = Vec::new();
        for (key, value) in mapping {
            let line = key.span.start.line();
            match key.data.as_str() {
                Some("<<") => merged.push(value),
                Some(name) if known.contains(&name) => {
                    // What is merged in comes last, and gives way.
                    if self.field(name).is_none() {
                        self.fields.push((name, value));
                    }
                }
                Some(name) => {
                    let meant = nearest(name, known.iter().copied()).map(|near| format!("; write `{near}`"));
                    let among = || format!("; known are `{}`", known.join("`, `"));
                    mistakes.push(format!(
                        "line {line}: {} has the unknown key `{name}`{}",
                        self.what,
                        meant.unwrap_or_else(among)
                    ));
                }
                None => mistakes.push(format!("line {line}: {} has a key that is not text", self.what)),
            }
        }
        for value in merged {
            match &value.data {
                YamlData::Sequence(several) => several.iter().for_each(|node| self.take_fields(node, known, mistakes)),
                _ => self.take_fields(value, known, mistakes),
            }
        }
    }

    /// What is wrong with the entry as a whole.
    pub fn mistake(&self, why: &str) -> String {
        format!("line {}: {} {why}", self.line, self.what)
    }

    fn field(&self, key: &str) -> Option<&'a MarkedYaml<'a>> {
        self.fields.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// A field that is there and not null.
    fn value(&self, key: &str) -> Option<&'a MarkedYaml<'a>> {
        self.field(key).filter(|value| !value.data.is_null())
    }

    fn wrong(&self, key: &str, value: &MarkedYaml<'_>, why: &str) -> String {
        format!("line {}: `{key}` of {} {why}", value.span.start.line(), self.what)
    }

    /// A text, which may be empty.
    pub fn text(&self, key: &str, mistakes: &mut Mistakes) -> Option<String> {
        let value = self.value(key)?;
        match value.data.as_str() {
            Some(text) => Some(text.to_owned()),
            None => {
                mistakes.push(self.wrong(key, value, "is not text; put it in quotes"));
                None
            }
        }
    }

    /// A text that must be there; `None` has been told.
    pub fn required(&self, key: &str, mistakes: &mut Mistakes) -> Option<String> {
        match self.field(key) {
            None => mistakes.push(self.mistake(&format!("has no `{key}`"))),
            Some(null) if null.data.is_null() => {
                mistakes.push(self.wrong(key, null, "has no value; a bare `#` begins a comment, put it in quotes"));
            }
            Some(_) => return self.text(key, mistakes),
        }
        None
    }

    /// Yes or no, also in the words of YAML 1.1, which Python reads.
    pub fn truth(&self, key: &str, default: bool, mistakes: &mut Mistakes) -> bool {
        let Some(value) = self.field(key) else { return default };
        match &value.data {
            YamlData::Value(Scalar::Boolean(truth)) => return *truth,
            YamlData::Value(Scalar::String(word)) => match word.to_lowercase().as_str() {
                "yes" | "on" => return true,
                "no" | "off" => return false,
                _ => {}
            },
            // Python takes it for no; where that is the default anyway, nobody can have meant anything else.
            YamlData::Value(Scalar::Null) if !default => return false,
            _ => {}
        }
        mistakes.push(self.wrong(key, value, "is neither `true` nor `false`"));
        default
    }

    /// A whole number within bounds, also with the underscores of YAML 1.1.
    pub fn number(&self, key: &str, bounds: RangeInclusive<i64>, mistakes: &mut Mistakes) -> Option<i64> {
        let value = self.value(key)?;
        let number = match &value.data {
            YamlData::Value(Scalar::Integer(number)) => Some(*number),
            YamlData::Value(Scalar::String(digits)) if digits.starts_with(|first: char| first.is_ascii_digit()) => {
                digits.contains('_').then(|| digits.replace('_', "").parse().ok()).flatten()
            }
            _ => None,
        };
        let (first, last) = (*bounds.start(), *bounds.end());
        match number {
            Some(number) if bounds.contains(&number) => Some(number),
            Some(number) => {
                mistakes.push(self.wrong(key, value, &format!("is {number}; it can be from {first} to {last}")));
                None
            }
            None => {
                mistakes.push(self.wrong(key, value, "is not a whole number"));
                None
            }
        }
    }

    /// The items of a list; nothing is an empty one.
    pub fn list(&self, key: &str, mistakes: &mut Mistakes) -> &'a [MarkedYaml<'a>] {
        match self.value(key).map(|value| (value, &value.data)) {
            None => &[],
            Some((_, YamlData::Sequence(items))) => items,
            Some((value, _)) => {
                mistakes.push(self.wrong(key, value, "is no list; begin each item with `- `"));
                &[]
            }
        }
    }
}
