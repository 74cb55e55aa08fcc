//! Those who are measured, one a file, as somebody would write them who uses that library.

pub mod bare_amiquip;
pub mod on_tokio;
pub mod sleeping;
pub mod worker;
