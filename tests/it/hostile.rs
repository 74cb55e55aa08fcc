//! Hostile and broken peers: each thing that was tried, and what happens then. Nothing hangs, nothing panics, nothing is lost.

mod handshake;
pub mod proxy;
mod tampered;
