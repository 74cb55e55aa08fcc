//! The tests that see the crate as its users do: through the public API only.

mod blueprint;
mod consuming;
mod decode_errors;
mod ledger;
mod retry;
mod support;
mod tidy;

/// Once more, as an outsider: a step that reaches for something private fails the build of the tests.
#[path = "../../steps/mod.rs"]
#[allow(dead_code, unused_imports, missing_docs)]
mod steps_as_an_outsider;
