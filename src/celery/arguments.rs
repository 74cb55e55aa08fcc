//! Which parameter each argument of a task is for, by Python's rules of calling, and the same as a typed value.

use super::Task;
use crate::decode::{without_body, DecodeError};
use serde::de::value::StringDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{map, Map, Value};
use std::fmt;

/// Each argument under the name of its parameter; what is missing is not complained of.
pub(super) fn bind(task: &Task, parameters: &[&str]) -> Result<Map<String, Value>, DecodeError> {
    let name = &task.name;
    let wrong = |what: String| Err(DecodeError::new(format!("the task `{name}` {what}")));
    if task.args.len() > parameters.len() {
        return wrong(format!("takes {} positional arguments, and {} were given", parameters.len(), task.args.len()));
    }
    let placed = parameters.iter().zip(&task.args).map(|(parameter, value)| ((*parameter).to_owned(), plain(value)));
    let mut bound: Map<String, Value> = placed.collect();
    for (parameter, value) in &task.kwargs {
        if !parameters.contains(&parameter.as_str()) {
            return wrong(format!("takes no argument `{parameter}`"));
        }
        if bound.insert(parameter.clone(), plain(value)).is_some() {
            return wrong(format!("got the argument `{parameter}` twice"));
        }
    }
    Ok(bound)
}

/// kombu wraps what JSON has no form for: `{"__type__": "datetime", "__value__": "2026-01-01T00:00:00"}`.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(entries) => match (entries.get("__type__"), entries.get("__value__")) {
            (Some(Value::String(_)), Some(wrapped)) => wrapped.get("hex").unwrap_or(wrapped).clone(),
            _ => Value::Object(entries.iter().map(|(name, value)| (name.clone(), plain(value))).collect()),
        },
        other => other.clone(),
    }
}

/// The arguments as a value of that type.
pub(super) fn read<T: DeserializeOwned>(task: &Task) -> Result<T, DecodeError> {
    T::deserialize(Arguments(task)).map_err(|refusal| refusal.0)
}

/// What a type asks for tells how its parameters are called: a struct brings their names.
struct Arguments<'a>(&'a Task);

impl Arguments<'_> {
    fn refuse(&self, what: &str) -> Refusal {
        Refusal(DecodeError::new(format!("the task `{}` {what}", self.0.name)))
    }

    fn named(&self, bound: Map<String, Value>) -> Named {
        Named { task: self.0.name.clone(), entries: bound.into_iter(), current: None }
    }

    fn placed<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if let Some(parameter) = self.0.kwargs.keys().next() {
            return Err(self.refuse(&format!("takes no argument `{parameter}`")));
        }
        let values = Value::Array(self.0.args.iter().map(plain).collect());
        values.deserialize_any(visitor).map_err(|err| self.refuse(&format!("got other arguments: {}", without_body(&err))))
    }
}

impl<'de> Deserializer<'de> for Arguments<'_> {
    type Error = Refusal;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let bound = bind(self.0, fields).map_err(Refusal)?;
        visitor.visit_map(self.named(bound)).map_err(|refusal| refusal.of(&self.0.name))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if !self.0.args.is_empty() {
            return Err(self.refuse("takes arguments by keyword only"));
        }
        let named = self.0.kwargs.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
        visitor.visit_map(self.named(named)).map_err(|refusal| refusal.of(&self.0.name))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        bind(self.0, &[]).map_err(Refusal)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0.args.is_empty() {
            true => self.deserialize_map(visitor),
            false => self.placed(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.placed(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.placed(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.placed(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option enum identifier ignored_any
    }
}

/// Bound arguments, one after the other, so that what is wrong with one can be told by its name.
struct Named {
    task: String,
    entries: map::IntoIter,
    current: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Named {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        self.current = self.entries.next();
        self.current.as_ref().map(|(name, _)| seed.deserialize(StringDeserializer::new(name.clone()))).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        let (name, value) = self.current.take().unwrap_or_default();
        seed.deserialize(value).map_err(|err| {
            let why = without_body(&err);
            Refusal(DecodeError::new(format!("the argument `{name}` of the task `{}` is not what is wanted: {why}", self.task)))
        })
    }
}

/// A [`DecodeError`] that serde may make: what serde itself would say can quote a body, so only what cannot is passed on.
#[derive(Debug)]
struct Refusal(DecodeError);

const LACKS: &str = "lacks the argument";

impl Refusal {
    /// With the task's name where serde did not know it.
    fn of(self, task: &str) -> Self {
        let text = self.0.to_string();
        if text.starts_with(LACKS) {
            Refusal(DecodeError::new(format!("the task `{task}` {text}")))
        } else {
            self
        }
    }
}

impl Error for Refusal {
    fn custom<T: fmt::Display>(_what: T) -> Self {
        Refusal(DecodeError::new("the arguments are not what is wanted"))
    }

    fn missing_field(field: &'static str) -> Self {
        Refusal(DecodeError::new(format!("{LACKS} `{field}`")))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refusal {}
