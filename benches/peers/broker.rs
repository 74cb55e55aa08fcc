//! The broker of the suite: yours at `AMQP_URL`, else a private node that is gone when the suite ends.

#[path = "../../tests/it/support/installation.rs"]
mod installation;
#[path = "../../tests/it/support/node.rs"]
#[allow(dead_code)]
mod node;
#[path = "../../tests/it/support/ports.rs"]
mod ports;
#[path = "../../tests/it/support/reaper.rs"]
mod reaper;
#[path = "../../tests/it/support/wait.rs"]
#[allow(dead_code)]
pub mod wait;

use bootstep::Broker;
use node::{Node, Setup};

/// In the tests a node gets by on one thread; here it takes what it would take as a service.
const AS_IT_COMES: &str = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'\n";

/// Where the queues are.
pub struct PrivateBroker {
    url: String,
    /// Ends with this value.
    _node: Option<Node>,
}

impl PrivateBroker {
    /// The broker at `AMQP_URL`, or a node of the suite's own, up and answering.
    pub fn start() -> PrivateBroker {
        match std::env::var("AMQP_URL") {
            Ok(url) => PrivateBroker { url, _node: None },
            Err(_) => {
                let environment = vec![("environment", AS_IT_COMES.to_owned())];
                let node = Node::start_with(&Setup { files: environment, ..Setup::default() });
                PrivateBroker { url: node.url(), _node: Some(node) }
            }
        }
    }

    /// What it and the contenders run on.
    pub fn machine(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("processor unknown");
        let connection = Broker::amqp(&self.url).and_then(|broker| broker.connect("bootstep-peers"));
        let server = connection.map_or_else(|err| err.to_string(), |connection| connection.server());
        let model = model.trim_start_matches([':', '\t', ' ']);
        format!("{server}, on the same machine as the consumers: {cores} cores ({model})")
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}
