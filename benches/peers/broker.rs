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

use node::Node;

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
                let node = Node::start();
                PrivateBroker { url: node.url(), _node: Some(node) }
            }
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}
