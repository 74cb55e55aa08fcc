//! The tests that see the crate as its users do: through the public API only.

mod support;
mod tidy;
