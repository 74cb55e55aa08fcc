//! Where settings come from, and which wins: the file, over it the environment, and over both the flags. The crate `config` merges
//! them.

use super::fields::unknown;
use super::mistakes::Mistakes;
use super::tree::{self, Tree};
use super::{toml_text, Sources};
use config::{Config, ConfigError, Map, Source, Value, ValueKind};
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What a file may have at its top.
pub(super) const TOP: [&str; 7] = ["broker", "worker", "logging", "health", "exchanges", "queues", "consumers"];

const PREFIX: &str = "BOOTSTEP_";
const BETWEEN: &str = "__";

const VARIABLE: &str = "the environment variable `";
const AMQP_URL: &str = "the environment variable `AMQP_URL`";
const SET: &str = "--set ";
const URL: &str = "--url";
const LOG: &str = "--log";

/// Which of two places wins: the higher number.
pub(super) fn rank(origin: &str) -> u8 {
    match origin {
        AMQP_URL => 1,
        URL | LOG => 4,
        _ if origin.starts_with(VARIABLE) => 2,
        _ if origin.starts_with(SET) => 3,
        _ => 0,
    }
}

/// All settings, merged.
pub(super) fn merged(sources: &Sources, mistakes: &Mistakes) -> Tree {
    let file = sources.file.as_deref().map_or_else(Tree::new, |path| known(file(path, mistakes), mistakes));
    let mut layers = vec![file];
    let one = |section: &str, key: &str, text: &str, origin: &str| {
        let mut layer = Tree::new();
        tree::put(&mut layer, &[section.into(), key.into()], tree::value(text, origin));
        layer
    };
    let amqp_url = sources.environment.iter().find(|(name, text)| name == "AMQP_URL" && !text.is_empty());
    layers.extend(amqp_url.map(|(_, text)| one("broker", "url", text, AMQP_URL)));
    let variables = variables(&sources.environment, &layers[0], mistakes);
    layers.push(known(variables, mistakes));
    layers.extend(sources.set.iter().map(|set| known(flag(set, mistakes), mistakes)));
    layers.extend(sources.url.iter().map(|text| one("broker", "url", text, URL)));
    layers.extend(sources.log.iter().map(|text| one("logging", "level", text, LOG)));
    let sum = layers.into_iter().fold(Config::builder(), |builder, layer| builder.add_source(Layer(layer))).build();
    // A layer of plain keys has no way to fail.
    match sum.map(|sum| sum.cache.kind) {
        Ok(ValueKind::Table(tree)) => tree,
        _ => Tree::new(),
    }
}

/// Only what may be at the top: there the crate takes other names for paths.
fn known(mut layer: Tree, mistakes: &Mistakes) -> Tree {
    layer.retain(|name, value| {
        let is_known = TOP.contains(&name.as_str());
        if !is_known {
            let place = tree::origin_of(value).unwrap_or_default();
            mistakes.add(&place, format!("`{name}` is no setting; {}", unknown(name, &TOP)));
        }
        is_known
    });
    layer
}

/// One layer; its values stay out of every output.
#[derive(Clone)]
struct Layer(Tree);

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layer")
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn file(path: &Path, mistakes: &Mistakes) -> Tree {
    let name = path.display().to_string();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(err) => {
            mistakes.add(&name, unreadable(&err));
            return Tree::new();
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(err) => {
            let good = &err.as_bytes()[..err.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            mistakes.add(&format!("{name}:{line}"), "the file is not UTF-8 from here on; save it as UTF-8");
            return Tree::new();
        }
    };
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "yaml" | "yml" | "json" => other_than_toml(&ending, &text, &name, mistakes),
        _ => toml_text::read(&text, &name, mistakes),
    }
}

#[cfg(feature = "yaml")]
fn other_than_toml(ending: &str, text: &str, name: &str, mistakes: &Mistakes) -> Tree {
    match ending {
        "json" => super::yaml_text::read_json(text, name, mistakes),
        _ => super::yaml_text::read(text, name, mistakes),
    }
}

#[cfg(not(feature = "yaml"))]
fn other_than_toml(ending: &str, _text: &str, name: &str, mistakes: &Mistakes) -> Tree {
    let what = format!("this program was built without the feature `yaml`, which reads `.{ending}`; write the file in TOML");
    mistakes.add(name, what);
    Tree::new()
}

/// Why a file cannot be read, and what to do.
pub(super) fn unreadable(err: &std::io::Error) -> String {
    match err.kind() {
        ErrorKind::NotFound => "there is no such file; correct its name".into(),
        ErrorKind::IsADirectory => "this is a folder; name a file".into(),
        ErrorKind::PermissionDenied => "the file may not be read; let the user who runs this read it".into(),
        _ => format!("the file cannot be read: {err}"),
    }
}

/// Variables such as `BOOTSTEP_CONSUMERS__ORDERS__PREFETCH`.
fn variables(environment: &[(String, String)], file: &Tree, mistakes: &Mistakes) -> Tree {
    let mut layer = Tree::new();
    let mut sorted: Vec<_> = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // Whatever order the system hands them over in, the outcome is one.
    sorted.sort();
    for (name, text) in sorted {
        let origin = format!("{VARIABLE}{name}`");
        let rest = &name[PREFIX.len()..];
        if !rest.contains(BETWEEN) {
            warn_of_single(rest, &origin, mistakes);
            continue;
        }
        let parts: Vec<&str> = rest.split(BETWEEN).collect();
        match path_in(file, &parts) {
            Ok(path) => tree::put(&mut layer, &path, tree::value(text.as_str(), &origin)),
            Err(what) => mistakes.add(&origin, what),
        }
    }
    layer
}

/// `BOOTSTEP_BROKER_URL` would do nothing, without a word.
fn warn_of_single(rest: &str, origin: &str, mistakes: &Mistakes) {
    let lower = rest.to_lowercase();
    let section = TOP.iter().find(|section| lower.strip_prefix(**section).is_some_and(|key| key.starts_with('_')));
    if let Some(section) = section {
        let (section, key) = rest.split_at(section.len());
        let meant = format!("{PREFIX}{section}{BETWEEN}{}", key.trim_start_matches('_'));
        mistakes.doubt(origin, format!("it does nothing: between keys stand two underscores, as in `{meant}`"));
    }
}

/// The keys that a variable means: as the file writes them, if it has them.
fn path_in(file: &Tree, parts: &[&str]) -> Result<Vec<String>, String> {
    let (mut inner, mut path) = (Some(file), Vec::new());
    for part in parts {
        let part = part.to_lowercase();
        if part.is_empty() {
            return Err("a key in its name is empty; write two underscores between keys, and none at the end".into());
        }
        let plain = |name: &str| name.to_lowercase().replace(['-', '.'], "_");
        let mut same: Vec<&String> =
            inner.into_iter().flat_map(tree::entries).map(|(name, _)| name).filter(|name| plain(name) == part).collect();
        same.sort();
        let key = match same[..] {
            [] => part,
            [name] => name.clone(),
            [one, other, ..] => {
                return Err(format!("it may mean `{one}` or `{other}`; use `--set`, which names keys as they are"));
            }
        };
        inner = inner.and_then(|table| table.get(&key)).and_then(|value| match &value.kind {
            ValueKind::Table(table) => Some(table),
            _ => None,
        });
        path.push(key);
    }
    Ok(path)
}

/// `--set consumers.orders.prefetch=50`.
fn flag(set: &str, mistakes: &Mistakes) -> Tree {
    let mut layer = Tree::new();
    let Some((key, text)) = set.split_once('=') else {
        // Not quoted: it may be a password without its key.
        mistakes.add(SET.trim_end(), "it has no `=`; write `--set key=value`, such as `--set worker.threads=8`");
        return layer;
    };
    let origin = format!("{SET}{}", key.trim());
    // Who writes `key = value` wants none of the spaces; else they are a part of it, as in a password and in the environment.
    let text = if key.ends_with(char::is_whitespace) { text.trim() } else { text };
    match toml_text::key_parts(key.trim()) {
        Some(path) => tree::put(&mut layer, &path, tree::value(text, &origin)),
        None => {
            mistakes.add(&origin, "this is no key; write it as in `consumers.orders.prefetch`, with quotes around odd names")
        }
    }
    layer
}
