//! Reading a settings file by hand, so that all that is wrong with it is told at once, each thing by its name.

use bootstep::{Error, Fault, Table, Value};
use std::cell::RefCell;
use std::ops::RangeInclusive;

/// What is wrong with a file, so far.
#[derive(Debug, Default)]
pub struct Mistakes(RefCell<Vec<String>>);

impl Mistakes {
    /// One more.
    pub fn add(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    /// All of them in one error that begins with `whose`, if there are any.
    ///
    /// # Errors
    /// [`Fault::Config`] if there is one.
    pub fn told(self, whose: &str) -> Result<(), Error> {
        let mistakes = self.0.into_inner();
        match mistakes.is_empty() {
            true => Ok(()),
            false => Err(Error::new(Fault::Config, format!("{whose}: {}", mistakes.join("; ")))),
        }
    }
}

/// A table of the file, and its place there for the errors.
#[derive(Clone)]
pub struct Fields<'a> {
    table: &'a toml::Table,
    place: String,
    mistakes: &'a Mistakes,
}

impl<'a> Fields<'a> {
    /// A table at a place such as `queues.my_queue`; the whole file is at ``.
    pub fn new(table: &'a toml::Table, place: impl Into<String>, mistakes: &'a Mistakes) -> Self {
        Fields { table, place: place.into(), mistakes }
    }

    /// Where a key of it is, for an error.
    pub fn path(&self, name: &str) -> String {
        if self.place.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.place)
        }
    }

    /// One more mistake, of a key.
    pub fn wrong(&self, name: &str, what: &str) {
        self.mistakes.add(format!("`{}` {what}", self.path(name)));
    }

    /// No other keys may be in it.
    pub fn only(&self, known: &[&str]) {
        for name in self.unknown(known) {
            let nearest =
                known.iter().min_by_key(|candidate| strsim::levenshtein(name, candidate)).copied().unwrap_or_default();
            self.wrong(name, &format!("is not known; the nearest is `{nearest}`, known are `{}`", known.join("`, `")));
        }
    }

    /// Other keys do nothing, and are warned of.
    pub fn rather(&self, known: &[&str]) {
        for name in self.unknown(known) {
            log::warn!("the setting `{}` is not known and does nothing; known are `{}`", self.path(name), known.join("`, `"));
        }
    }

    fn unknown(&self, known: &[&str]) -> Vec<&'a String> {
        self.table.keys().filter(|name| !known.contains(&name.as_str())).collect()
    }

    /// These keys must be in it.
    pub fn needs(&self, names: &[&str]) {
        let missing: Vec<&str> = names.iter().copied().filter(|name| !self.table.contains_key(*name)).collect();
        if !missing.is_empty() {
            self.mistakes.add(format!("`{}` has no `{}`", self.place, missing.join("`, `")));
        }
    }

    fn read<T>(&self, name: &str, wanted: &str, read: impl FnOnce(&'a toml::Value) -> Option<T>) -> Option<T> {
        let value = self.table.get(name)?;
        let read = read(value);
        if read.is_none() {
            self.wrong(name, &format!("is of the type {} and has to be {wanted}", value.type_str()));
        }
        read
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.read(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// `true` or `false`.
    pub fn truth(&self, name: &str) -> Option<bool> {
        self.read(name, "`true` or `false`", toml::Value::as_bool)
    }

    /// A whole number in a range.
    pub fn whole(&self, name: &str, allowed: RangeInclusive<i64>) -> Option<i64> {
        let number = self.read(name, "a whole number", toml::Value::as_integer)?;
        if !allowed.contains(&number) {
            self.wrong(name, &format!("is {number} and has to be from {} to {}", allowed.start(), allowed.end()));
        }
        Some(number).filter(|number| allowed.contains(number))
    }

    /// An array of texts.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        let texts = |value: &toml::Value| value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect();
        self.read(name, "an array of strings", texts)
    }

    /// A table in it.
    pub fn table(&self, name: &str) -> Option<Fields<'a>> {
        let table = self.read(name, "a table", toml::Value::as_table)?;
        Some(Fields::new(table, self.path(name), self.mistakes))
    }

    /// An array of tables in it.
    pub fn tables(&self, name: &str) -> Option<Vec<Fields<'a>>> {
        let tables = |value: &'a toml::Value| value.as_array()?.iter().map(toml::Value::as_table).collect::<Option<Vec<_>>>();
        let tables = self.read(name, "an array of tables", tables)?;
        let at = |(index, table)| Fields::new(table, format!("{}[{index}]", self.path(name)), self.mistakes);
        Some(tables.into_iter().enumerate().map(at).collect())
    }

    /// All that is in it, as tables, by name.
    pub fn entries(&self) -> Vec<(&'a str, Fields<'a>)> {
        let fields = |name: &'a String| Some((name.as_str(), self.table(name)?));
        self.table.keys().filter_map(fields).collect()
    }

    /// A table of AMQP arguments.
    pub fn arguments(&self, name: &str) -> Table {
        let Some(fields) = self.table(name) else { return Table::new() };
        let argument = |(name, value): (&String, &toml::Value)| match amqp_value(value) {
            Some(value) => Some((name.clone(), value)),
            None => {
                fields.wrong(name, "is a date, which no argument can be");
                None
            }
        };
        fields.table.iter().filter_map(argument).collect()
    }

    /// The table itself.
    pub fn raw(&self) -> &'a toml::Table {
        self.table
    }
}

/// As Python's client writes it: a whole number in 32 bits if it fits.
fn amqp_value(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => Value::Text(text.clone()),
        toml::Value::Integer(number) => i32::try_from(*number).map_or(Value::I64(*number), Value::I32),
        toml::Value::Float(number) => Value::F64(*number),
        toml::Value::Boolean(truth) => Value::Bool(*truth),
        toml::Value::Array(items) => Value::Array(items.iter().map(amqp_value).collect::<Option<_>>()?),
        toml::Value::Table(items) => {
            let item = |(name, value): (&String, &toml::Value)| Some((name.clone(), amqp_value(value)?));
            Value::Table(items.iter().map(item).collect::<Option<_>>()?)
        }
        toml::Value::Datetime(_) => return None,
    })
}
