//! JSON Schemas of messages, registered by name: what of a message is checked before a callback sees it, and before it is sent.

use bootstep::steps::fedora_messaging::{to_json, FedoraMessage};
use bootstep::{DecodeError, Error, Fault};
use jsonschema::Validator;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Names of unknown schemas that are remembered, so that each is warned of once: they come from whoever publishes.
const WARNED_OF: usize = 100;

/// The schema of a sort of message.
///
/// ```
/// use bootstep::steps::fedora_messaging::{FedoraMessage, Schema, Schemas};
/// use serde_json::json;
///
/// let update = Schema::new("bodhi.update.v1", json!({
///     "type": "object",
///     "required": ["update"],
///     "properties": {"update": {"type": "string"}},
/// }));
/// let schemas = Schemas::new([update])?;
/// let message = FedoraMessage::new("bodhi.update", &json!({"update": 7}))?.schema("bodhi.update.v1", None);
/// let err = schemas.check(&message).unwrap_err().to_string();
/// assert!(err.contains("does not satisfy the schema `bodhi.update.v1` (`/properties/update/type`)"), "{err}");
/// # Ok::<(), bootstep::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schema {
    name: String,
    body: serde_json::Value,
    headers: Option<serde_json::Value>,
    is_deprecated: bool,
}

impl Schema {
    /// The schema of bodies, under the name that stands in the header `fedora_messaging_schema`.
    pub fn new(name: impl Into<String>, body: serde_json::Value) -> Self {
        Schema { name: name.into(), body, headers: None, is_deprecated: false }
    }

    /// A schema of its headers as well.
    pub fn headers(mut self, schema: serde_json::Value) -> Self {
        self.headers = Some(schema);
        self
    }

    /// There is a newer one: a message of this one is handled and warned of.
    pub fn deprecated(mut self) -> Self {
        self.is_deprecated = true;
        self
    }
}

/// All schemas that a program knows; cheap to clone.
#[derive(Clone, Default)]
pub struct Schemas(Arc<Known>);

#[derive(Default)]
struct Known {
    by_name: BTreeMap<String, Compiled>,
    warned: Mutex<BTreeSet<String>>,
}

struct Compiled {
    body: Validator,
    headers: Option<Validator>,
    is_deprecated: bool,
}

impl Schemas {
    /// These schemas, ready to be checked by. Nothing is fetched: a `$ref` that leads out of its schema is an error.
    ///
    /// # Errors
    /// [`Fault::Config`] with every schema that is none.
    pub fn new(schemas: impl IntoIterator<Item = Schema>) -> Result<Self, Error> {
        let (mut by_name, mut mistakes) = (BTreeMap::new(), Vec::new());
        for schema in schemas {
            let name = schema.name.clone();
            match compiled(schema) {
                Ok(_) if by_name.contains_key(&name) => mistakes.push(format!("the schema `{name}` is registered twice")),
                Ok(compiled) => drop(by_name.insert(name, compiled)),
                Err(why) => mistakes.push(format!("the schema `{name}` is no JSON Schema: {why}")),
            }
        }
        match mistakes.is_empty() {
            true => Ok(Schemas(Arc::new(Known { by_name, warned: Mutex::default() }))),
            false => Err(Error::new(Fault::Config, mistakes.join("; "))),
        }
    }

    /// This checks a message by the schema that it names. One that is not known here is warned of, once, and checked by none.
    ///
    /// # Errors
    /// When it does not satisfy its schema. The error names the place in the schema, and quotes nothing of the message.
    pub fn check(&self, message: &FedoraMessage) -> Result<(), DecodeError> {
        let name = &message.schema;
        let Some(schema) = self.0.by_name.get(name) else {
            self.note_unknown(name);
            return Ok(());
        };
        if schema.is_deprecated && self.is_first(name) {
            log::warn!("the schema `{name}` is deprecated, and messages of it still come, the first under `{}`", message.topic);
        }
        let unsatisfied = |what: &str, place: String| {
            Err(DecodeError::new(format!("the {what} of the message does not satisfy the schema `{name}` (`{place}`)")))
        };
        if let Some(validator) = &schema.headers {
            let headers = message.written_headers().iter().map(|(name, value)| (name.clone(), to_json(value))).collect();
            if let Err(err) = validator.validate(&serde_json::Value::Object(headers)) {
                return unsatisfied("headers", err.schema_path().to_string());
            }
        }
        match schema.body.validate(&serde_json::Value::Object(message.body.clone())) {
            Ok(()) => Ok(()),
            Err(err) => unsatisfied("body", err.schema_path().to_string()),
        }
    }

    fn note_unknown(&self, name: &str) {
        if !name.is_empty() && name != bootstep::steps::fedora_messaging::BASE_SCHEMA && self.is_first(name) {
            let name: String = name.chars().take(80).flat_map(char::escape_default).collect();
            log::warn!("the schema `{name}` is not registered: its messages are handled unchecked");
        }
    }

    fn is_first(&self, name: &str) -> bool {
        let mut warned = self.0.warned.lock().unwrap_or_else(PoisonError::into_inner);
        warned.len() < WARNED_OF && warned.insert(name.to_owned())
    }
}

fn compiled(schema: Schema) -> Result<Compiled, String> {
    let compile = |schema: &serde_json::Value| jsonschema::validator_for(schema).map_err(|err| err.to_string());
    let headers = schema.headers.as_ref().map(compile).transpose()?;
    Ok(Compiled { body: compile(&schema.body)?, headers, is_deprecated: schema.is_deprecated })
}
