//! What the tests stand on: RabbitMQ nodes of their own, virtual hosts, and waiting without guessing how long.
//!
//! Without `AMQP_URL`, one private node is started for the whole test process when the first test asks for it. With `AMQP_URL`, cases that
//! only need a broker run there, in a virtual host of their own; cases that break the broker still start a private node.

pub mod alone;
pub mod heard;
mod installation;
pub mod listed;
mod management;
pub mod node;
mod ports;
pub mod process;
pub mod raw;
mod reaper;
mod smoke;
pub mod stage;
pub mod vhost;
pub mod wait;
