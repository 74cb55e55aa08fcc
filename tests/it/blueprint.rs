//! The blueprint: any graph comes out in an order, or as an error that names the culprits; and a failed boot undoes itself.

use bootstep::{Blueprint, BoxError, Broker, Context, Error, Fault, MemoryBroker, Reporter, Step, Steps, Stop, Worker};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Story = Arc<Mutex<Vec<String>>>;

/// A step that writes down what happens to it.
#[derive(Default)]
struct Told {
    name: String,
    requires: Vec<String>,
    story: Story,
    fails: bool,
    reporter: Option<std::sync::mpsc::SyncSender<Reporter>>,
}

impl Told {
    fn new(name: &str, requires: &[&str], story: &Story) -> Self {
        let requires = requires.iter().map(|name| name.to_string()).collect();
        Told { name: name.into(), requires, story: story.clone(), ..Told::default() }
    }

    fn tell(&self, what: &str) {
        self.story.lock().unwrap().push(format!("{what} {}", self.name));
    }
}

impl Step for Told {
    fn name(&self) -> Cow<'_, str> {
        self.name.as_str().into()
    }

    fn requires(&self) -> Vec<Cow<'static, str>> {
        self.requires.iter().map(|name| Cow::Owned(name.clone())).collect()
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        self.tell("start");
        if let Some(reporter) = &self.reporter {
            reporter.send(ctx.reporter()).unwrap();
        }
        if self.fails {
            return Err("the lamp is broken".into());
        }
        ctx.provide(self.name.clone());
        Ok(())
    }

    fn stop(&mut self, _ctx: &mut Context, _stop: Stop) {
        self.tell("stop");
    }
}

fn steps(graph: &[(&str, &[&str])]) -> Steps {
    let mut steps = Steps::default();
    for (name, requires) in graph {
        steps.add(Told::new(name, requires, &Story::default()));
    }
    steps
}

fn names(blueprint: &Blueprint) -> Vec<&str> {
    blueprint.names().collect()
}

#[track_caller]
fn check_refused(graph: &[(&str, &[&str])], expected: &str) {
    let err = Blueprint::of(&steps(graph)).unwrap_err();
    assert_eq!(err.fault(), Fault::Blueprint);
    assert_eq!(err.to_string(), expected);
}

#[test]
fn steps_start_after_what_they_require_and_otherwise_as_they_were_added() {
    let blueprint = Blueprint::of(&steps(&[("d", &["b"]), ("a", &[]), ("c", &[]), ("b", &["a"])])).unwrap();
    assert_eq!(names(&blueprint), ["a", "c", "b", "d"]);
    assert_eq!(blueprint.to_string(), " 1. a\n 2. c\n 3. b (after a)\n 4. d (after b)");
    assert_eq!(blueprint.standing_on("a"), ["a", "b", "d"]);
}

#[test]
fn what_cannot_be_ordered_is_an_error_that_names_every_step_involved() {
    check_refused(&[("a", &["a"])], "step `a` requires itself");
    check_refused(
        &[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("x", &["a"])],
        "steps require each other in a circle: `a`, `b`, `c`",
    );
    check_refused(
        &[("a", &[]), ("b", &[]), ("a", &[])],
        "more than one step is named `a`; put a step in another's place with `steps.replace`, or give each a name of its own (a \
         consumer's is its step's `step_name`)",
    );
    check_refused(
        &[("a", &["cellar"]), ("b", &["roof"])],
        "step `a` requires `cellar`; step `b` requires `roof`, which nobody added",
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    /// Any graph: each step after all it requires, or an error that names exactly the steps in circles.
    #[test]
    fn any_graph_is_ordered_or_its_circles_are_named(edges in prop::collection::vec((0..12_usize, 0..12_usize), 0..30)) {
        let label = |place: usize| format!("s{place}");
        let mut requires: BTreeMap<usize, BTreeSet<usize>> = (0..12).map(|place| (place, BTreeSet::new())).collect();
        for (from, to) in edges {
            requires.get_mut(&from).unwrap().insert(to);
        }
        let mut steps = Steps::default();
        for (place, on) in &requires {
            let on: Vec<String> = on.iter().map(|on| label(*on)).collect();
            let on: Vec<&str> = on.iter().map(String::as_str).collect();
            steps.add(Told::new(&label(*place), &on, &Story::default()));
        }
        let circles: BTreeSet<usize> = (0..12).filter(|place| reach(&requires, *place).contains(place)).collect();
        match Blueprint::of(&steps) {
            Ok(blueprint) => {
                prop_assert!(circles.is_empty());
                let order = names(&blueprint);
                prop_assert_eq!(order.len(), 12);
                for (place, on) in &requires {
                    let at = |place: usize| order.iter().position(|name| *name == label(place)).unwrap();
                    prop_assert!(on.iter().all(|on| at(*on) < at(*place)));
                }
            }
            Err(err) => {
                prop_assert!(!circles.is_empty());
                let text = err.to_string();
                for place in 0..12 {
                    prop_assert_eq!(text.contains(&format!("`{}`", label(place))), circles.contains(&place), "{}", text);
                }
            }
        }
    }
}

/// All that a step stands on, directly or not.
fn reach(requires: &BTreeMap<usize, BTreeSet<usize>>, from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<usize> = requires[&from].iter().copied().collect();
    while let Some(place) = ahead.pop() {
        if reached.insert(place) {
            ahead.extend(&requires[&place]);
        }
    }
    reached
}

fn bare() -> Worker {
    Worker::bare(Broker::from(&MemoryBroker::new()))
}

#[test]
fn a_step_that_fails_at_boot_stops_those_before_it_in_reverse_and_is_named() {
    let story = Story::default();
    let mut worker = bare();
    worker.steps.add(Told::new("a", &[], &story)).add(Told::new("b", &[], &story));
    worker.steps.add(Told { fails: true, ..Told::new("lamp", &["a"], &story) }).add(Told::new("d", &[], &story));
    let err = worker.start().map(drop).unwrap_err();
    assert_eq!(err.to_string(), "step `lamp` did not start: the lamp is broken");
    assert_eq!(*story.lock().unwrap(), ["start a", "start b", "start lamp", "stop b", "stop a"]);
}

#[test]
fn a_step_that_panics_is_a_step_that_fails() {
    struct Panics;
    impl Step for Panics {
        fn name(&self) -> Cow<'_, str> {
            "shaky".into()
        }
        fn start(&mut self, _ctx: &mut Context) -> Result<(), BoxError> {
            panic!("the floor gave way")
        }
    }
    let story = Story::default();
    let mut worker = bare();
    worker.steps.add(Told::new("a", &[], &story)).add(Panics);
    let err = worker.start().map(drop).unwrap_err();
    assert_eq!(err.to_string(), "step `shaky` did not start: it panicked: the floor gave way");
    assert_eq!(*story.lock().unwrap(), ["start a", "stop a"]);
}

#[test]
fn a_stopped_worker_stops_each_step_once_in_reverse() {
    let story = Story::default();
    let mut worker = bare();
    worker.steps.add(Told::new("b", &["a"], &story)).add(Told::new("a", &[], &story));
    assert_eq!(worker.start().unwrap().stop(), 0);
    assert_eq!(*story.lock().unwrap(), ["start a", "start b", "stop b", "stop a"]);
}

#[test]
fn a_step_that_fails_while_running_restarts_itself_and_what_stands_on_it_and_nothing_else() {
    let story = Story::default();
    let memory = MemoryBroker::new();
    let mut worker = Worker::bare(Broker::from(&memory));
    let (tell, reporters) = std::sync::mpsc::sync_channel(8);
    worker.steps.add(Told::new("pool", &[], &story));
    worker.steps.add(Told { reporter: Some(tell), ..Told::new("connect", &[], &story) });
    worker.steps.add(Told::new("declare", &["connect"], &story)).add(Told::new("consume", &["declare", "pool"], &story));
    let running = worker.start().unwrap();
    let first = reporters.recv_timeout(Duration::from_secs(5)).unwrap();
    story.lock().unwrap().clear();

    first.failed(Error::new(Fault::Lost, "the wire is cut"));
    let begins = |what: &str| story.lock().unwrap().iter().any(|line| line == what);
    crate::support::wait::eventually("the steps are stopped", Duration::from_secs(5), || begins("stop connect"));
    // Its backoff goes by the broker's clock, which a test turns by hand.
    crate::support::wait::eventually("they run again", Duration::from_secs(5), || {
        memory.advance(Duration::from_secs(1));
        begins("start consume")
    });
    // A late word of the first life says nothing about the second.
    first.failed(Error::new(Fault::Lost, "the wire is cut"));
    running.stop();
    assert_eq!(
        *story.lock().unwrap(),
        [
            "stop consume",
            "stop declare",
            "stop connect",
            "start connect",
            "start declare",
            "start consume",
            "stop consume",
            "stop declare",
            "stop connect",
            "stop pool",
        ]
    );
}

#[test]
fn the_graph_is_drawn_with_an_arrow_to_each_required_step() {
    let drawn = Blueprint::of(&steps(&[("consume", &["connect", "the \"pool\""]), ("connect", &[]), ("the \"pool\"", &[])]));
    let lines = [
        "digraph blueprint {",
        r#"    "connect";"#,
        r#"    "the \"pool\"";"#,
        r#"    "consume";"#,
        r#"    "consume" -> "connect";"#,
        r#"    "consume" -> "the \"pool\"";"#,
        "}",
        "",
    ];
    assert_eq!(drawn.unwrap().to_dot(), lines.join("\n"));
}
