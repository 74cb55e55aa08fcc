//! YAML, and JSON as the part of YAML that it is, with the line of each key.

use super::mistakes::Mistakes;
use super::tree::{self, Tree};
use config::{Value, ValueKind};
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

/// A file's text; what cannot be read is told with its line.
pub(super) fn read(text: &str, file: &str, mistakes: &Mistakes) -> Tree {
    read_as("YAML", text, file, mistakes)
}

fn read_as(format: &str, text: &str, file: &str, mistakes: &Mistakes) -> Tree {
    // One that begins with a mark for its byte order is what editors on Windows write.
    let documents = match MarkedYaml::load_from_str(text.trim_start_matches('\u{feff}')) {
        Ok(documents) => documents,
        Err(err) => {
            mistakes.add(&format!("{file}:{}", err.marker().line()), format!("this is not {format}: {}", err.info()));
            return Tree::new();
        }
    };
    let reading = Reading { file, mistakes };
    match &documents[..] {
        [] => Tree::new(),
        [document] => match &document.data {
            YamlData::Mapping(_) => reading.table(document),
            data if data.is_null() => Tree::new(),
            _ => {
                mistakes.add(&reading.origin(document), "the file is no mapping of keys to values");
                Tree::new()
            }
        },
        [_, second, ..] => {
            mistakes.add(&reading.origin(second), "the file has several documents; take the `---` out");
            Tree::new()
        }
    }
}

/// JSON, which may be indented by tabs, and YAML may not; within the texts of JSON no bare one can be.
pub(super) fn read_json(text: &str, file: &str, mistakes: &Mistakes) -> Tree {
    read_as("JSON", &text.replace('\t', " "), file, mistakes)
}

struct Reading<'a> {
    file: &'a str,
    mistakes: &'a Mistakes,
}

impl Reading<'_> {
    fn origin(&self, node: &MarkedYaml<'_>) -> String {
        format!("{}:{}", self.file, node.span.start.line())
    }

    fn table(&self, node: &MarkedYaml<'_>) -> Tree {
        let YamlData::Mapping(mapping) = &node.data else { return Tree::new() };
        let mut tree = Tree::new();
        for (key, value) in mapping {
            let origin = self.origin(key);
            match key.data.as_str().filter(|name| !name.is_empty()) {
                None => self.mistakes.add(&origin, "a key is empty or no text; put it in quotes"),
                Some(name) => {
                    if let Some(value) = self.value(name, value, &origin) {
                        tree.insert(name.to_owned(), value);
                    }
                }
            }
        }
        tree
    }

    fn value(&self, name: &str, node: &MarkedYaml<'_>, origin: &str) -> Option<Value> {
        Some(match &node.data {
            YamlData::Value(Scalar::Null) => tree::value(ValueKind::Nil, origin),
            YamlData::Value(Scalar::Boolean(truth)) => tree::value(*truth, origin),
            YamlData::Value(Scalar::Integer(number)) => tree::value(*number, origin),
            YamlData::Value(Scalar::FloatingPoint(number)) => tree::value(number.into_inner(), origin),
            YamlData::Value(Scalar::String(text)) => tree::value(text.to_string(), origin),
            YamlData::Sequence(items) => {
                let items = items.iter().filter_map(|item| self.value(name, item, &self.origin(item)));
                tree::value(items.collect::<Vec<_>>(), origin)
            }
            YamlData::Mapping(_) => tree::table(self.table(node), origin),
            _ => {
                self.mistakes.add(origin, format!("`{name}` has a tag or an alias, which is not read here; write it out"));
                return None;
            }
        })
    }
}
