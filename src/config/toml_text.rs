//! TOML with the line of each key.

use super::mistakes::Mistakes;
use super::tree::{self, Tree};
use config::Value;
use toml::de::{DeTable, DeValue};
use toml::Spanned;

const SLIPS_AT_MOST: usize = 3;

/// A file's text; what cannot be read is told with its line.
pub(super) fn read(text: &str, file: &str, mistakes: &Mistakes) -> Tree {
    let (table, errors) = DeTable::parse_recoverable(text);
    let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
    let reading = Reading { line_ends: Some(line_ends), file, mistakes };
    let mut lines = Vec::new();
    for err in &errors {
        let at = err.span().map_or(0, |span| span.start);
        // What follows on a slip is mostly the same slip.
        if lines.contains(&reading.origin(at)) || lines.len() == SLIPS_AT_MOST {
            continue;
        }
        lines.push(reading.origin(at));
        // Its own words only: as a whole the error shows the line, and that may hold a password.
        let named = match err.message() {
            "duplicate key" => err.span().and_then(|span| text.get(span)).map(|key| format!(" `{key}`")),
            _ => None,
        };
        let what = format!("this is not TOML: {}{}", err.message().replace('\n', ", "), named.unwrap_or_default());
        mistakes.add(&reading.origin(at), what);
    }
    // What comes behind a syntax error may be anything.
    if errors.is_empty() {
        reading.table(table.get_ref())
    } else {
        Tree::new()
    }
}

/// A single value as TOML writes it, all of it from one place.
pub(super) fn one(text: &str, origin: &str, mistakes: &Mistakes) -> Option<Value> {
    let parsed = DeValue::parse(text).ok()?;
    Reading { line_ends: None, file: origin, mistakes }.value("the value", parsed.get_ref(), origin)
}

/// The parts of a dotted key.
pub(super) fn key_parts(key: &str) -> Option<Vec<String>> {
    let line = format!("{key} = 0");
    // A line end would make two lines of it.
    let table = DeTable::parse(&line).ok().filter(|_| !key.contains(['\n', '='])).map(Spanned::into_inner)?;
    let (mut parts, mut table) = (Vec::new(), &table);
    while let Some((name, value)) = table.iter().next() {
        parts.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(parts).filter(|parts| parts.iter().all(|part| !part.is_empty())),
        }
    }
    None
}

struct Reading<'a> {
    /// A file's line ends; `None` for a text that is not a file's.
    line_ends: Option<Vec<usize>>,
    file: &'a str,
    mistakes: &'a Mistakes,
}

impl Reading<'_> {
    /// Where this stands: its line in a file, or where all of the text comes from.
    fn origin(&self, at: usize) -> String {
        match &self.line_ends {
            Some(ends) => format!("{}:{}", self.file, 1 + ends.partition_point(|end| *end < at)),
            None => self.file.to_owned(),
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Tree {
        let mut tree = Tree::new();
        for (key, value) in table.iter() {
            let origin = self.origin(key.span().start);
            if key.get_ref().is_empty() {
                self.mistakes.add(&origin, "a key is empty; give it a name");
            } else if let Some(value) = self.value(&format!("`{}`", key.get_ref()), value.get_ref(), &origin) {
                tree.insert(key.get_ref().to_string(), value);
            }
        }
        tree
    }

    /// The value of what is called so.
    fn value(&self, whose: &str, value: &DeValue<'_>, origin: &str) -> Option<Value> {
        Some(match value {
            DeValue::String(text) => tree::value(text.to_string(), origin),
            DeValue::Boolean(truth) => tree::value(*truth, origin),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => tree::value(number, origin),
                Err(_) => return self.wrong(origin, format!("{whose} is a number of more than 64 bits")),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) => tree::value(number, origin),
                Err(_) => return self.wrong(origin, format!("{whose} is a number that cannot be read")),
            },
            DeValue::Datetime(_) => {
                return self.wrong(origin, format!("{whose} is a date, and no setting is; put it in quotes if it is a text"))
            }
            DeValue::Array(items) => {
                let item = |item: &Spanned<DeValue<'_>>| {
                    let origin = self.origin(item.span().start);
                    self.value(whose, item.get_ref(), &origin)
                };
                tree::value(items.iter().filter_map(item).collect::<Vec<_>>(), origin)
            }
            DeValue::Table(inner) => tree::table(self.table(inner), origin),
        })
    }

    fn wrong(&self, origin: &str, what: String) -> Option<Value> {
        self.mistakes.add(origin, what);
        None
    }
}
