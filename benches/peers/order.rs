//! The message that everyone handles: an order in JSON, about 100 bytes unless a case wants more.

use serde::Deserialize;

/// What a handler gets, typed and owned.
#[derive(Debug, Deserialize)]
#[allow(dead_code)] // decoding it is the work
pub struct Order {
    pub id: u64,
    pub customer: String,
    pub items: Vec<u32>,
    pub note: String,
}

/// An order of about 100 bytes, or of so many, if that is more.
pub fn body(id: usize, bytes: usize) -> Vec<u8> {
    let customer = id % 999;
    let start =
        format!(r#"{{"id":{id:>8},"customer":"c-{customer:>6}","items":[11,22,33,44],"note":"leave it at the door, thank you"#);
    let mut body = start.into_bytes();
    body.resize(bytes.saturating_sub(2).max(body.len()), b'.');
    body.extend_from_slice(br#""}"#);
    body
}
