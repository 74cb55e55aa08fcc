//! The order in which steps start: each after all it requires, and otherwise as they were added.

use crate::error::{Error, Fault};
use crate::step::Steps;
use std::collections::HashMap;
use std::fmt;

/// The steps of a worker in the order they start, each with what it requires. They stop in reverse.
///
/// ```
/// use bootstep::{Blueprint, Broker, Consumer, MemoryBroker, Outcome, Worker};
///
/// let mut worker = Worker::new(Broker::from(&MemoryBroker::new()));
/// worker.steps.add(Consumer::new("orders", |_order: String, _message| Ok(Outcome::Ack)));
/// println!("{}", Blueprint::of(&worker.steps)?);
/// # Ok::<(), bootstep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blueprint {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    requires: Vec<String>,
    /// Where it stood when it was added.
    added: usize,
}

impl Blueprint {
    /// This orders steps.
    ///
    /// # Errors
    /// [`Fault::Blueprint`] when a name is taken twice, a required step is missing, or steps require each other in a circle; it
    /// names every step involved.
    pub fn of(steps: &Steps) -> Result<Self, Error> {
        let entry = |(added, step): (usize, &dyn crate::step::Step)| Entry {
            name: step.name().into_owned(),
            requires: step.requires().into_iter().map(|name| name.into_owned()).collect(),
            added,
        };
        let entries: Vec<Entry> = steps.iter().enumerate().map(entry).collect();
        let places = places(&entries)?;
        let requires = resolve(&entries, &places)?;
        let order = order(&requires).map_err(|circle| in_a_circle(&entries, &circle))?;
        Ok(Blueprint { entries: order.into_iter().map(|place| entries[place].clone()).collect() })
    }

    /// The names, in the order in which the steps start.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The names of the step and of all that stand on it, directly or not, in the order in which they start.
    pub fn standing_on(&self, name: &str) -> Vec<&str> {
        let mut standing = Vec::new();
        for entry in &self.entries {
            // What stands on a step starts after it, so one pass finds all.
            let stands = entry.requires.iter().any(|required| standing.contains(&required.as_str()));
            if entry.name == name || stands {
                standing.push(entry.name.as_str());
            }
        }
        standing
    }

    /// What the step requires directly.
    pub fn requires(&self, name: &str) -> &[String] {
        self.entries.iter().find(|entry| entry.name == name).map_or(&[], |entry| &entry.requires)
    }

    /// The graph in Graphviz's language (<https://graphviz.org/doc/info/lang.html>): an arrow from each step to each that it
    /// requires.
    ///
    /// ```
    /// use bootstep::{Blueprint, Broker, MemoryBroker, Worker};
    ///
    /// let worker = Worker::new(Broker::from(&MemoryBroker::new()));
    /// let graph = Blueprint::of(&worker.steps)?.to_dot();
    /// assert!(graph.contains(r#""declare-dead-letters" -> "connect";"#));
    /// # Ok::<(), bootstep::Error>(())
    /// ```
    pub fn to_dot(&self) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let mut graph = String::from("digraph blueprint {\n");
        for entry in &self.entries {
            graph += &format!("    {};\n", quoted(&entry.name));
            for required in &entry.requires {
                graph += &format!("    {} -> {};\n", quoted(&entry.name), quoted(required));
            }
        }
        graph + "}\n"
    }

    /// For each place in the order, the place in which the step was added.
    pub(crate) fn added(&self) -> impl Iterator<Item = usize> + '_ {
        self.entries.iter().map(|entry| entry.added)
    }
}

impl fmt::Display for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, entry) in self.entries.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            write!(f, "{:>2}. {}", place + 1, entry.name)?;
            if !entry.requires.is_empty() {
                write!(f, " (after {})", entry.requires.join(", "))?;
            }
        }
        Ok(())
    }
}

fn places(entries: &[Entry]) -> Result<HashMap<&str, usize>, Error> {
    let mut places = HashMap::new();
    let mut twice: Vec<&str> = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if places.insert(entry.name.as_str(), place).is_some() && !twice.contains(&entry.name.as_str()) {
            twice.push(&entry.name);
        }
    }
    match twice.as_slice() {
        [] => Ok(places),
        names => Err(wrong(format!(
            "more than one step is named {}; put a step in another's place with `steps.replace`, \
                 or give each a name of its own (a consumer's is its step's `step_name`)",
            listed(names)
        ))),
    }
}

fn resolve(entries: &[Entry], places: &HashMap<&str, usize>) -> Result<Vec<Vec<usize>>, Error> {
    let mut missing: Vec<String> = Vec::new();
    let mut requires = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut found = Vec::new();
        for name in &entry.requires {
            match places.get(name.as_str()) {
                Some(place) => found.push(*place),
                None => missing.push(format!("step `{}` requires `{name}`", entry.name)),
            }
        }
        requires.push(found);
    }
    match missing.as_slice() {
        [] => Ok(requires),
        _ => Err(wrong(format!("{}, which nobody added", missing.join("; ")))),
    }
}

/// The places in the order in which they start, or the places that are in circles.
fn order(requires: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut started = vec![false; requires.len()];
    let mut order = Vec::with_capacity(requires.len());
    // A blueprint has tens of steps: looking through all of them for each is quick enough, and keeps the order they came in.
    while let Some(next) = (0..requires.len()).find(|place| !started[*place] && requires[*place].iter().all(|on| started[*on]))
    {
        started[next] = true;
        order.push(next);
    }
    if order.len() == requires.len() {
        return Ok(order);
    }
    Err((0..requires.len()).filter(|place| !started[*place] && reaches(requires, *place, *place)).collect())
}

fn reaches(requires: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = vec![false; requires.len()];
    let mut ahead = requires[from].clone();
    while let Some(place) = ahead.pop() {
        if place == to {
            return true;
        }
        if !std::mem::replace(&mut seen[place], true) {
            ahead.extend(&requires[place]);
        }
    }
    false
}

fn in_a_circle(entries: &[Entry], circle: &[usize]) -> Error {
    let names: Vec<&str> = circle.iter().map(|place| entries[*place].name.as_str()).collect();
    match names.as_slice() {
        [name] => wrong(format!("step `{name}` requires itself")),
        names => wrong(format!("steps require each other in a circle: {}", listed(names))),
    }
}

fn listed(names: &[&str]) -> String {
    format!("`{}`", names.join("`, `"))
}

fn wrong(what: String) -> Error {
    Error::new(Fault::Blueprint, what)
}
