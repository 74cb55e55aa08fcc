//! The named cases: situations that need a set-up of their own, one function each.

mod breaks;
mod calm;
mod cluster;
mod ends;
mod queues;

use crate::field::Field;
use crate::judge::Verdict;
use crate::settings::{Kind, Layout, Mix, Settings};
use crate::support::node::Node;
use crate::table::Report;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

/// A named case.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    run: fn(&mut Scene<'_>) -> (Field, Verdict),
}

/// All of them, in the order in which they run.
pub const CASES: [Case; 21] = [
    Case { name: "no-faults", run: calm::no_faults },
    Case { name: "long-before-short", run: calm::long_before_short },
    Case { name: "60s-before-1s", run: calm::sixty_seconds_before_one },
    Case { name: "sigterm-with-500", run: ends::sigterm_with_500 },
    Case { name: "second-sigterm", run: ends::second_sigterm },
    Case { name: "sigterm-broker-down", run: ends::sigterm_broker_down },
    Case { name: "sigterm-broker-silent", run: ends::sigterm_broker_silent },
    Case { name: "rolling-restart", run: ends::rolling_restart },
    Case { name: "retry-queue-full", run: queues::retry_queue_full },
    Case { name: "retry-queue-missing", run: queues::retry_queue_missing },
    Case { name: "main-queue-missing", run: queues::main_queue_missing },
    Case { name: "main-queue-missing-long", run: queues::main_queue_missing_long },
    Case { name: "queue-deleted", run: queues::queue_deleted },
    Case { name: "archive-full", run: queues::archive_full },
    Case { name: "recovery", run: breaks::recovery },
    Case { name: "killed-out-of-order", run: breaks::killed_out_of_order },
    Case { name: "killed-at-confirm", run: breaks::killed_at_confirm },
    Case { name: "alarm-during-retries", run: breaks::alarm_during_retries },
    Case { name: "consumer-timeout", run: breaks::consumer_timeout },
    Case { name: "every-fault", run: breaks::every_fault },
    Case { name: "leader-lost", run: cluster::leader_lost },
];

/// What a case is played with.
pub struct Scene<'a> {
    pub node: &'a mut Node,
    pub kind: Kind,
    pub seed: u64,
    settings: Settings,
}

const CONCLUDED_WITHIN: Duration = Duration::from_secs(60);
/// For what takes a moment: the deadline only says when to stop hoping.
pub const SOON: Duration = Duration::from_secs(20);

impl Scene<'_> {
    /// What a case starts from: its own queue, all else as usual.
    pub fn settings(&self, mix: Mix) -> Settings {
        Settings { mix, ..self.settings.clone() }
    }

    /// The same with a gate that handlers wait at.
    pub fn gated(&self, mix: Mix, gate: &tempfile::TempDir) -> Settings {
        Settings { gate: Some(gate.path().join("open")), ..self.settings(mix) }
    }

    pub fn conclude(&self, mut field: Field) -> (Field, Verdict) {
        let verdict = field.conclude(self.node, CONCLUDED_WITHIN);
        (field, verdict)
    }

    /// The same where nothing that was done is an excuse for running anything twice.
    pub fn conclude_without_repeats(&self, field: Field) -> (Field, Verdict) {
        let (mut field, verdict) = self.conclude(field);
        if verdict.repeated + verdict.duplicated > 0 {
            let Verdict { repeated, duplicated, .. } = verdict;
            field.complain(format!("{repeated} attempts ran twice and {duplicated} messages are there twice, for no reason"));
        }
        (field, verdict)
    }
}

/// Lets go of the handlers that wait at the gate.
pub fn open(gate: &tempfile::TempDir) {
    std::fs::write(gate.path().join("open"), "").expect("the temporary folder can be written");
}

pub fn gate() -> tempfile::TempDir {
    tempfile::TempDir::with_prefix("bootstep-gate-").expect("the temporary folder can be written")
}

impl Case {
    pub fn run(&self, node: &mut Node, kind: Kind, layout: Layout, seed: u64) -> Report {
        let mut settings = Settings::new(&format!("{}-{kind}-{seed}", self.name), kind, Mix::Acked, seed);
        settings.layout = layout;
        let ended = catch_unwind(AssertUnwindSafe(|| (self.run)(&mut Scene { node, kind, seed, settings })));
        match ended {
            Ok((field, verdict)) => Report::new(self.name, seed, field, verdict),
            Err(panic) => Report {
                name: self.name.to_owned(),
                seed,
                kind: kind.to_string(),
                layout: layout.to_string(),
                version: "?".to_owned(),
                verdict: Verdict::default(),
                faults: BTreeMap::new(),
                took: Duration::ZERO,
                complaints: vec![words_of(&*panic).to_owned()],
                measured: Vec::new(),
                folder: None,
            },
        }
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// The cases of these names; `all` and `none` stand for what they say.
///
/// # Panics
/// If there is no case of a name.
pub fn named(names: &[String]) -> Vec<Case> {
    match names {
        [one] if one == "none" => Vec::new(),
        [one] if one == "all" => CASES.to_vec(),
        names => names.iter().map(|name| case(name)).collect(),
    }
}

/// The case of this name.
///
/// # Panics
/// If there is none.
pub fn case(name: &str) -> Case {
    CASES.into_iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case `{name}`"))
}
