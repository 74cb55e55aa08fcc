//! Free TCP ports for a private node, chosen so that nobody takes them while the node is down and about to come back.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

// Below 32768, where Linux begins to hand out ports for outgoing connections: one of those could sit on ours during a restart.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

// Far apart for processes with neighbouring ids, which is what tests run side by side have; prime, so that it walks the whole range.
const STRIDE: u32 = 4_999;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// The ports of one node.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub amqp: u16,
    pub tls: u16,
    pub distribution: u16,
    pub epmd: u16,
}

impl Ports {
    /// Four ports on which nothing listens now, and which this process has not given to another node.
    pub fn free() -> Ports {
        Ports { amqp: free_port(), tls: free_port(), distribution: free_port(), epmd: free_port() }
    }
}

fn free_port() -> u16 {
    let start = process::id().wrapping_mul(STRIDE);
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .map(|port| u16::try_from(port).expect("the range ends below 65536"))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap_or_else(|| panic!("no free port between {FIRST} and {}", FIRST + COUNT))
}
