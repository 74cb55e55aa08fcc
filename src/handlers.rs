//! Handlers that need no Rust: a program in any language, printing, appending to a file, posting to a web address.
//!
//! ```no_run
//! use bootstep::handlers::Program;
//! use bootstep::{Broker, Consumer, Worker};
//! use std::process::ExitCode;
//! use std::time::Duration;
//!
//! fn main() -> ExitCode {
//!     let pack = Program::new(["./handle-order", "--quiet"]).time_limit(Duration::from_secs(60));
//!     let mut worker = Worker::new(Broker::from_env());
//!     worker.steps.add(Consumer::handled_by("orders", pack));
//!     worker.run()
//! }
//! ```
//!
//! They take the bytes as they are, whatever the content type; [`Consumer::accept`](crate::Consumer::accept) bounds that. They are
//! there on Unix, with the feature `programs`; [`HttpPost`] with the feature `webhook`.

mod append;
mod environment;
mod exit;
mod forked;
#[cfg(feature = "webhook")]
mod http_post;
mod line;
mod lookup;
mod persistent;
mod print;
mod process;
mod program;
mod reply;
mod stderr;

pub use append::Append;
#[cfg(feature = "webhook")]
pub use http_post::HttpPost;
pub use print::Print;
pub use program::Program;
