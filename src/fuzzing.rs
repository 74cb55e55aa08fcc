//! What holds for any input at all, as one function a parser: `fuzz/` calls them with random bytes, and the tests here with the
//! kept corpus.

mod headers;
mod input;
mod topology;
mod url;
mod wire;

pub use headers::headers;
pub use topology::topology;
pub use url::url;
pub use wire::wire;

#[cfg(test)]
mod tests;
