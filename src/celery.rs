//! Celery's task messages (protocol 2, <https://docs.celeryq.dev/en/stable/internals/protocol.html>): what a Python worker takes for a
//! task, and what its tasks look like to a handler here.

mod arguments;
mod repr;

use crate::decode::{Decode, DecodeError, Json};
use crate::delivered::Message;
use crate::message::{Properties, Publication, Table, Value};
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::{json, Map, Value as Any};
use std::fs::read_to_string;
use std::sync::OnceLock;

/// A task of Celery: which function is to be called, with what. A handler may take it as its body, and it becomes a message for a
/// Python worker by [`to_publication`](Task::to_publication).
///
/// ```
/// use bootstep::celery::Task;
/// use bootstep::{Decode, DecodeError, Message};
///
/// let task = Task::new("shop.pay").arg(7).kwarg("amount", 12.5);
/// let publication = task.to_publication("", "celery");
/// assert_eq!(publication.body(), br#"[[7],{"amount":12.5},{"callbacks":null,"chain":null,"chord":null,"errbacks":null}]"#);
/// assert_eq!(publication.header("argsrepr"), Some(&"(7,)".into()));
///
/// let came = Task::decode(&Message::from_publication(publication))?;
/// assert_eq!(came, task);
/// let bound = came.bind(&["order_id", "amount"])?;
/// assert_eq!((&bound["order_id"], &bound["amount"]), (&7.into(), &12.5.into()));
/// assert_eq!(came.bind(&["order_id"]).unwrap_err().to_string(), "the task `shop.pay` takes no argument `amount`");
/// # Ok::<(), DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Task {
    /// The name that the function is registered by.
    pub name: String,
    /// What tells this call from all others (by default a random UUID); retries keep it.
    pub id: String,
    /// The positional arguments.
    pub args: Vec<Any>,
    /// The keyword arguments.
    pub kwargs: Map<String, Any>,
    /// How many retries there were.
    pub retries: u32,
    /// When it is to run, not before (ISO 8601); nothing here waits for it.
    pub eta: Option<String>,
    /// When it is not worth running any more (ISO 8601); nothing here looks at it.
    pub expires: Option<String>,
    /// The task that all this began with (by default itself).
    pub root_id: Option<String>,
    /// The task that sent this one.
    pub parent_id: Option<String>,
    /// The group it belongs to.
    pub group: Option<String>,
    /// Where a result would be sent (by default a name of this process that nobody listens to).
    pub reply_to: Option<String>,
    /// What is to be called after it: chains, callbacks. Nothing here calls them.
    pub embed: Map<String, Any>,
    /// Headers that are none of Celery's own.
    pub headers: Table,
}

/// The headers of protocol 2; what else a message has is its publisher's own.
const OWN_HEADERS: [&str; 19] = [
    "lang",
    "task",
    "id",
    "shadow",
    "eta",
    "expires",
    "group",
    "group_index",
    "retries",
    "timelimit",
    "root_id",
    "parent_id",
    "argsrepr",
    "kwargsrepr",
    "origin",
    "ignore_result",
    "replaced_task_nesting",
    "stamped_headers",
    "stamps",
];

impl Task {
    /// A call of the function of this name, without arguments so far.
    pub fn new(name: impl Into<String>) -> Self {
        let id = uuid4();
        let nothing_after = ["callbacks", "chain", "chord", "errbacks"].map(|name| (name.to_owned(), Any::Null));
        Task {
            name: name.into(),
            args: Vec::new(),
            kwargs: Map::new(),
            retries: 0,
            eta: None,
            expires: None,
            root_id: Some(id.clone()),
            parent_id: None,
            group: None,
            reply_to: Some(this_process().reply_to.clone()),
            embed: Map::from_iter(nothing_after),
            headers: Table::new(),
            id,
        }
    }

    /// This adds a positional argument.
    pub fn arg(mut self, value: impl Into<Any>) -> Self {
        self.args.push(value.into());
        self
    }

    /// This adds a keyword argument.
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Into<Any>) -> Self {
        self.kwargs.insert(name.into(), value.into());
        self
    }

    /// This adds all arguments at once: the fields of a struct or the entries of a map by keyword, a tuple or list by position, `()`
    /// none.
    ///
    /// # Errors
    /// When the value has another form, or none in JSON.
    pub fn with_arguments(mut self, arguments: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        match serde_json::to_value(arguments)? {
            Any::Object(named) => self.kwargs.extend(named),
            Any::Array(placed) => self.args.extend(placed),
            Any::Null => {}
            _ => {
                return Err(serde::ser::Error::custom(
                    "arguments are a struct, a map, a tuple, a list or `()`, and no single value",
                ))
            }
        }
        Ok(self)
    }

    /// This is the message that a Python worker takes for this task: persistent, with all headers of protocol 2.
    pub fn to_publication(&self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Publication {
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
        let mut headers = self.headers.clone();
        let mut set = |name: &str, value: Value| drop(headers.insert(name.into(), value));
        set("lang", "py".into());
        set("task", self.name.as_str().into());
        set("id", self.id.as_str().into());
        set("shadow", Value::Null);
        set("eta", text(&self.eta));
        set("expires", text(&self.expires));
        set("group", text(&self.group));
        set("group_index", Value::Null);
        // An int32 at the most: py-amqp up to 5.3 misreads some of the others.
        set("retries", i32::try_from(self.retries).unwrap_or(i32::MAX).into());
        set("timelimit", Value::Array(vec![Value::Null, Value::Null]));
        set("root_id", text(&self.root_id));
        set("parent_id", text(&self.parent_id));
        set("argsrepr", repr::of_tuple(&self.args).into());
        set("kwargsrepr", repr::of_dict(&self.kwargs).into());
        set("origin", this_process().origin.as_str().into());
        set("ignore_result", false.into());
        set("replaced_task_nesting", 0.into());
        set("stamped_headers", Value::Null);
        set("stamps", Table::new().into());
        let properties = Properties {
            content_encoding: Some("utf-8".into()),
            headers: Some(headers),
            priority: Some(0),
            correlation_id: Some(self.id.clone()),
            reply_to: self.reply_to.clone(),
            ..Properties::persistent("application/json")
        };
        let body = json!([self.args, self.kwargs, self.embed]).to_string();
        Publication::new(exchange, routing_key, body).with(properties)
    }

    /// This gives each argument its name, in whichever spelling it was sent: `["order_id", "amount"]` are the parameters of a
    /// Python function `def pay(order_id, amount)`, in their order.
    ///
    /// # Errors
    /// As Python would complain: too many arguments, one that is not known, one given twice, one missing.
    pub fn bind(&self, parameters: &[&str]) -> Result<Map<String, Any>, DecodeError> {
        let bound = arguments::bind(self, parameters)?;
        let missing: Vec<String> =
            parameters.iter().filter(|name| !bound.contains_key(**name)).map(|name| format!("`{name}`")).collect();
        match missing.is_empty() {
            true => Ok(bound),
            false => Err(DecodeError::new(format!("the task `{}` lacks the argument {}", self.name, missing.join(", ")))),
        }
    }

    /// The arguments as a value of one's own. A struct has the parameters as its fields, in their order, and takes them in either
    /// spelling; an `Option`, or a field with a default, may be missing. A tuple takes positional ones only, a map keywords only,
    /// `()` none.
    ///
    /// Dates, UUIDs and decimals, which Python sends as objects with `__type__` and `__value__`, are read as the texts they hold.
    /// Of a field with aliases, each is a parameter of its own.
    ///
    /// ```
    /// use bootstep::celery::Task;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Paid {
    ///     order_id: u64,
    ///     amount: f64,
    ///     note: Option<String>,
    /// }
    ///
    /// for task in [Task::new("pay").arg(7).arg(12.5), Task::new("pay").kwarg("amount", 12.5).kwarg("order_id", 7)] {
    ///     let paid: Paid = task.arguments()?;
    ///     assert_eq!((paid.order_id, paid.amount, paid.note), (7, 12.5, None));
    /// }
    /// # Ok::<(), bootstep::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`bind`](Task::bind), and a value that is not what its field wants.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        arguments::read(self)
    }

    fn of_protocol_2(name: &str, message: &Message) -> Result<Task, DecodeError> {
        let text = |name: &str| message.header(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(compression) = message.header("compression").and_then(Value::as_str) {
            return Err(DecodeError::new(format!("the body is compressed (`{compression}`), which is not read here")));
        }
        let Json((args, kwargs, embed)) = Json::<(Vec<Any>, Map<String, Any>, Option<Map<String, Any>>)>::decode(message)?;
        let foreign = |(name, _): &(&String, &Value)| !OWN_HEADERS.contains(&name.as_str());
        Ok(Task {
            name: name.to_owned(),
            id: text("id").ok_or_else(|| DecodeError::new("the header `id` of the task is missing"))?,
            args,
            kwargs,
            retries: message.header("retries").and_then(Value::as_i64).map_or(0, count),
            eta: text("eta"),
            expires: text("expires"),
            root_id: text("root_id"),
            parent_id: text("parent_id"),
            group: text("group"),
            reply_to: message.properties().reply_to.clone(),
            embed: embed.unwrap_or_default(),
            headers: message.headers().into_iter().flatten().filter(foreign).map(|(n, v)| (n.clone(), v.clone())).collect(),
        })
    }

    /// The body says all, as it did before Celery 4.
    fn of_protocol_1(message: &Message) -> Result<Task, DecodeError> {
        let no_task = |why| DecodeError::new(format!("this is no task of Celery: it has no header `task`, and {why}"));
        let body = Json::<Any>::decode(message).map_err(|err| no_task(err.to_string()))?.0;
        let text = |name: &str| body.get(name).and_then(Any::as_str).map(str::to_owned);
        let name = text("task").ok_or_else(|| no_task("its body does not name one".into()))?;
        let args = body.get("args").filter(|args| !args.is_null());
        let kwargs = body.get("kwargs").filter(|kwargs| !kwargs.is_null());
        let wrong = |what: &str| DecodeError::new(format!("`{what}` in the body of the task `{name}` has another form"));
        Ok(Task {
            id: text("id").ok_or_else(|| DecodeError::new(format!("`id` in the body of the task `{name}` is missing")))?,
            args: args.map_or(Some(Vec::new()), |args| args.as_array().cloned()).ok_or_else(|| wrong("args"))?,
            kwargs: kwargs.map_or(Some(Map::new()), |kwargs| kwargs.as_object().cloned()).ok_or_else(|| wrong("kwargs"))?,
            retries: body.get("retries").and_then(Any::as_i64).map_or(0, count),
            eta: text("eta"),
            expires: text("expires"),
            root_id: None,
            parent_id: None,
            group: text("taskset"),
            reply_to: message.properties().reply_to.clone(),
            embed: Map::new(),
            headers: message.headers().cloned().unwrap_or_default(),
            name,
        })
    }
}

/// Both protocols are read: 2, whose headers name the task, and 1, whose body does. JSON only.
impl Decode for Task {
    fn decode(message: &Message) -> Result<Self, DecodeError> {
        match message.header("task") {
            Some(Value::Text(name)) => Task::of_protocol_2(name, message),
            Some(_) => Err(DecodeError::new("the header `task` is no text")),
            None => Task::of_protocol_1(message),
        }
    }
}

fn count(retries: i64) -> u32 {
    u32::try_from(retries.max(0)).unwrap_or(u32::MAX)
}

/// A random UUID (RFC 9562, version 4).
fn uuid4() -> String {
    let random = fastrand::u128(..);
    let bits = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{bits:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// What a Python worker may see of the process that sent a task.
struct Sender {
    origin: String,
    reply_to: String,
}

fn this_process() -> &'static Sender {
    static SENDER: OnceLock<Sender> = OnceLock::new();
    SENDER.get_or_init(|| {
        let host = read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
        let host = host.as_deref().map(str::trim).filter(|host| !host.is_empty()).unwrap_or("localhost");
        Sender { origin: format!("gen{}@{host}", std::process::id()), reply_to: uuid4() }
    })
}

#[cfg(test)]
mod tests;
