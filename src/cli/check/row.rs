//! One exchange or queue: what it is to be, and how the broker has it.

use crate::message_json::plain;
use crate::topology::{Exchange, Queue};
use serde_json::{json, Map, Value};

/// An exchange or queue that a worker declares, or needs.
pub(super) struct Row {
    pub thing: Thing,
    pub name: String,
    /// The queue that it is around, if it is not one of the settings' own.
    pub beside: Option<String>,
    /// Whether it is used as it is, where it differs.
    pub is_lenient: bool,
    pub state: Option<State>,
}

pub(super) enum Thing {
    Exchange(Exchange),
    Queue(Queue),
}

/// How the broker has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    AsWanted,
    ToBeDeclared,
    /// It should exist, and does not.
    Missing,
    Differs(String),
    Refused(String),
}

impl Row {
    pub fn of_exchange(exchange: &Exchange) -> Self {
        let thing = Thing::Exchange(exchange.clone());
        Row { thing, name: exchange.name.clone(), beside: None, is_lenient: false, state: None }
    }

    pub fn of_queue(queue: &Queue) -> Self {
        let thing = Thing::Queue(queue.clone());
        Row { thing, name: queue.name.clone(), beside: None, is_lenient: false, state: None }
    }

    pub fn is_exchange(&self, name: &str) -> bool {
        matches!(self.thing, Thing::Exchange(_)) && self.name == name
    }

    pub fn is_same(&self, other: &Row) -> bool {
        self.name == other.name && self.kind() == other.kind()
    }

    /// Whether a worker could not start, or could not work.
    pub fn is_refused(&self) -> bool {
        match &self.state {
            None | Some(State::AsWanted | State::ToBeDeclared) => false,
            Some(State::Differs(_)) => !self.is_lenient,
            Some(State::Missing | State::Refused(_)) => true,
        }
    }

    fn kind(&self) -> &'static str {
        match self.thing {
            Thing::Exchange(_) => "exchange",
            Thing::Queue(_) => "queue",
        }
    }

    /// What it is, in a few words.
    pub fn about(&self) -> String {
        let (about, is_passive) = match &self.thing {
            Thing::Exchange(exchange) => (exchange.kind.as_str(), exchange.passive),
            Thing::Queue(queue) => (queue.queue_type().unwrap_or_default(), queue.passive),
        };
        match (&self.beside, is_passive) {
            (_, true) => "declared by others".into(),
            (Some(queue), false) => format!("{about} around `{queue}`").trim_start().into(),
            (None, false) => about.into(),
        }
    }

    /// For a person; each column is as wide as its widest.
    pub fn as_line(&self, [width, about_width]: [usize; 2]) -> String {
        let (kind, name, about) = (self.kind(), &self.name, self.about());
        let state = match &self.state {
            None => String::new(),
            Some(State::AsWanted) => "  is there as wanted".into(),
            Some(State::ToBeDeclared) => "  would be declared".into(),
            Some(State::Missing) => "  IS MISSING: others have to declare it, or correct its name".into(),
            Some(State::Differs(how)) if self.is_lenient => format!("  differs, and is used as it is: {how}"),
            Some(State::Differs(how)) => format!("  DIFFERS: {how}; declare it as it is, or delete it first"),
            Some(State::Refused(why)) => format!("  REFUSED: {why}"),
        };
        format!("{kind:<8}  {name:<width$}  {about:<about_width$}{state}")
    }

    /// For a program.
    pub fn as_json(&self) -> Value {
        let mut row = Map::new();
        row.insert("kind".into(), self.kind().into());
        row.insert("name".into(), self.name.as_str().into());
        match &self.thing {
            Thing::Exchange(exchange) if exchange.passive => row.insert("existing".into(), true.into()),
            Thing::Queue(queue) if queue.passive => row.insert("existing".into(), true.into()),
            Thing::Exchange(exchange) => row.insert("type".into(), exchange.kind.as_str().into()),
            Thing::Queue(queue) => {
                let arguments = queue.arguments.iter().map(|(name, value)| (name.clone(), plain(value)));
                row.insert("arguments".into(), Value::Object(arguments.collect()))
            }
        };
        if let Some(queue) = &self.beside {
            row.insert("around".into(), queue.as_str().into());
        }
        let (state, why) = match &self.state {
            None => return Value::Object(row),
            Some(State::AsWanted) => ("as wanted", None),
            Some(State::ToBeDeclared) => ("to be declared", None),
            Some(State::Missing) => ("missing", None),
            Some(State::Differs(how)) if self.is_lenient => ("used as it is", Some(how)),
            Some(State::Differs(how)) => ("differs", Some(how)),
            Some(State::Refused(why)) => ("refused", Some(why)),
        };
        row.insert("state".into(), json!(state));
        row.extend(why.map(|why| ("why".to_owned(), json!(why))));
        Value::Object(row)
    }
}
