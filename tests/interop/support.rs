//! The private nodes of the other tests, once more.

#[path = "../it/support/installation.rs"]
mod installation;
#[path = "../it/support/node.rs"]
#[allow(dead_code)]
pub mod node;
#[path = "../it/support/ports.rs"]
mod ports;
#[path = "../it/support/reaper.rs"]
mod reaper;
#[path = "../it/support/wait.rs"]
pub mod wait;
