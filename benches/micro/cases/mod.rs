//! What is counted, by name.

mod decode;
mod headers;
mod ledger;
mod memory;

pub use headers::properties;

/// Something small, repeated so often.
pub struct Case {
    /// As it is kept.
    pub name: &'static str,
    /// How often is enough for a count that stays.
    pub times: usize,
    pub run: fn(usize),
}

pub fn all() -> Vec<Case> {
    [ledger::cases(), decode::cases(), memory::cases(), headers::cases(), crate::transport::amqp::cases()]
        .into_iter()
        .flatten()
        .collect()
}

pub fn case(name: &'static str, times: usize, run: fn(usize)) -> Case {
    Case { name, times, run }
}

/// About 100 bytes of JSON.
pub fn body(id: usize) -> Vec<u8> {
    let customer = id % 999;
    format!(r#"{{"id":{id:>8},"customer":"c-{customer:>6}","items":[11,22,33,44],"note":"leave it at the door, thank you"}}"#)
        .into()
}

/// What the body says.
#[derive(serde::Deserialize)]
#[allow(dead_code)]
pub struct Order {
    pub id: u64,
    pub customer: String,
    pub items: Vec<u32>,
    pub note: String,
}
