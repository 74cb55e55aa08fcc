//! The fault suite: uniquely numbered messages, faults at random moments from a printed seed, then a count of what was lost,
//! duplicated, stuck or misplaced.
//!
//! Read `README.md` beside this file first. In reading order: a [`fate`] says what is to become of a number, a [`worker`] process
//! acts it out and leaves [`evidence`], a [`proxy`] and a node of our own break, and a [`judge`] compares.

pub mod arguments;
pub mod cases;
pub mod evidence;
pub mod fate;
pub mod field;
pub mod injury;
pub mod judge;
pub mod letters;
pub mod link;
pub mod process;
pub mod proxy;
pub mod publisher;
pub mod settings;
pub mod storm;
pub mod support;
pub mod table;
pub mod wire;
pub mod worker;
