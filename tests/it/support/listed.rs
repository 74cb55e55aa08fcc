//! What is declared on a virtual host, as the broker itself lists it: for tests that compare it with a contract, word for word.

use super::node::shared_node;
use super::stage::Stage;
use super::vhost::private_vhost;
use bootstep::Broker;
use serde_json::Value;

/// A stage on a virtual host of the private node, whatever broker the other tests are tried on, and a way to list it.
pub fn stage_to_list() -> (Stage, Listing) {
    let vhost = private_vhost();
    let listing = Listing { vhost: vhost.name().to_owned() };
    let broker = Broker::amqp(&vhost.url).unwrap();
    (Stage::on(broker, vhost), listing)
}

/// The virtual host to be listed.
pub struct Listing {
    vhost: String,
}

impl Listing {
    /// Its name, for `rabbitmqctl`.
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// A line each, sorted: `orders.retry durable x-dead-letter-exchange= x-dead-letter-routing-key=orders`. That a queue is classic
    /// is left out: RabbitMQ 4 says so of each that was declared without a type.
    pub fn queues(&self) -> Vec<String> {
        let lines = self.lines("list_queues", &["name", "durable", "auto_delete", "exclusive", "arguments"]);
        lines.iter().map(|line| line.replace(" x-queue-type=classic", "")).collect()
    }

    /// A line each, sorted, without those of the broker: `data durable topic`.
    pub fn exchanges(&self) -> Vec<String> {
        let mut lines = self.lines("list_exchanges", &["name", "type", "durable", "auto_delete", "internal", "arguments"]);
        lines.retain(|line| !line.starts_with("amq.") && !line.starts_with(' '));
        lines
    }

    /// A line each, sorted, without those of the default exchange: `data order.* > orders`.
    pub fn bindings(&self) -> Vec<String> {
        let rows = self.rows("list_bindings", &["source_name", "routing_key", "destination_name"]);
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let line = |row: &Value| {
            format!("{} {} > {}", text(row, "source_name"), text(row, "routing_key"), text(row, "destination_name"))
        };
        let mut lines: Vec<String> = rows.iter().filter(|row| row["source_name"] != "").map(line).collect();
        lines.sort();
        lines
    }

    fn lines(&self, command: &str, columns: &[&str]) -> Vec<String> {
        let mut lines: Vec<String> = self.rows(command, columns).iter().map(|row| line(row, columns)).collect();
        lines.sort();
        lines
    }

    fn rows(&self, command: &str, columns: &[&str]) -> Vec<Value> {
        let printed = shared_node().ctl(&[&["--formatter", "json", command, "--vhost", self.vhost()], columns].concat());
        serde_json::from_str(&printed).unwrap_or_else(|err| panic!("`{command}` printed no JSON ({err}): {printed}"))
    }
}

/// Names of what is true, and arguments as `name=value`.
fn line(row: &Value, columns: &[&str]) -> String {
    let word = |column: &&str| match &row[*column] {
        Value::String(text) => Some(text.clone()),
        Value::Bool(true) => Some((*column).to_owned()),
        Value::Array(arguments) => Some(arguments.iter().map(argument).collect::<Vec<_>>().join(" ")),
        Value::Object(arguments) => {
            Some(arguments.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(" "))
        }
        _ => None,
    };
    // Of a quorum queue it lists `exclusive` as an empty text.
    columns.iter().filter_map(word).collect::<Vec<_>>().join(" ").trim_end().replace("  ", " ")
}

/// `[name, type, value]`, as RabbitMQ 3 prints it.
fn argument(argument: &Value) -> String {
    format!("{}={}", plain(&argument[0]), plain(argument.get(2).unwrap_or(&argument[1])))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
