//! Counts instructions and allocations of what every message passes through, so that a regression is seen where times are too noisy
//! to show it.
//!
//! `cargo bench --bench micro` prints them, `-- --check` holds them against those kept in `benches/micro.md` and fails where one is
//! more than 5 % above, `-- --write` keeps them anew. `AMQP_URL=amqp://… cargo bench --bench micro -- worker` counts a whole worker on
//! RabbitMQ, by thread and by crate. All need valgrind.
//!
//! Some of this is private, and is compiled into this program from the crate's own files: a door in the crate would be code in a
//! user's build, and a `cfg` for it would have everything compiled once more.

mod callgrind;
mod cases;
mod kept;
mod profile;
mod transport;
mod worker;

#[path = "../../src"]
#[allow(dead_code, unused_imports)]
mod private {
    pub mod delivered;
    pub mod error;
    pub mod layout;
    pub mod limits;
    pub mod message;
    pub mod outcome;
    pub mod retry;
    pub mod topology;
}

use cases::Case;
use kept::Row;
// Where the files expect each other.
use private::{delivered, error, layout, limits, message, outcome, retry, topology};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(callgrind::CASE) {
        callgrind::run_here(&name);
        return ExitCode::SUCCESS;
    }
    if let Err(why) = callgrind::is_there() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print!("{}", kept::table(&counted(""))),
        ["--check"] => return kept::check(&counted("")),
        ["--write"] => kept::write(&counted("")),
        ["worker"] => worker::count(),
        [part] if !part.starts_with('-') => print!("{}", kept::table(&counted(part))),
        _ => {
            eprintln!("wanted: nothing, a part of a case's name, `worker`, `--check` or `--write`");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The cases with this in their name, in their order; several at once, because counts are not times.
fn counted(part: &str) -> Vec<Row> {
    let cases: Vec<Case> = cases::all().into_iter().filter(|case| case.name.contains(part)).collect();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = Row { case: case.name.to_owned(), counts: callgrind::counts_of(case) };
                    rows.lock().expect("no case panics with the lock").push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no case panics with the lock");
    rows.sort_by_key(|row| cases.iter().position(|case| case.name == row.case));
    rows
}
