//! What callgrind writes: cost by function, and who called whom how often
//! (<https://valgrind.org/docs/manual/cl-format.html>).

use std::collections::HashMap;
use std::path::Path;

/// One thread's, or a whole program's.
#[derive(Default)]
pub struct Profile {
    /// Instructions in the function itself.
    pub own: HashMap<String, u64>,
    /// How often the first called the second.
    pub calls: HashMap<(String, String), u64>,
}

impl Profile {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read(path).expect("callgrind has written it");
        let mut reading = Reading::default();
        String::from_utf8_lossy(&text).lines().for_each(|line| reading.take(line));
        reading.profile
    }

    pub fn instructions(&self) -> u64 {
        self.own.values().sum()
    }

    /// Calls of malloc, calloc and realloc.
    pub fn allocations(&self) -> u64 {
        // Callgrind numbers the levels of a recursion: `malloc'2`.
        let allocates = |name: &str| matches!(name.split('\'').next(), Some("malloc" | "calloc" | "realloc"));
        self.calls.iter().filter(|((_, callee), _)| allocates(callee)).map(|(_, count)| count).sum()
    }
}

#[derive(Default)]
struct Reading {
    profile: Profile,
    /// Names are written out once, and are numbers after that.
    names: HashMap<String, String>,
    function: String,
    callee: String,
    /// The next cost is that of a call: part of the callee's.
    in_call: bool,
}

impl Reading {
    fn take(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("fn=") {
            self.function = self.name(name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            self.callee = self.name(name);
        } else if let Some(count) = line.strip_prefix("calls=") {
            let count: u64 = count.split(' ').next().and_then(|count| count.parse().ok()).expect("callgrind counts calls");
            *self.profile.calls.entry((self.function.clone(), self.callee.clone())).or_default() += count;
            self.in_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost: u64 = line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0);
            if !std::mem::take(&mut self.in_call) {
                *self.profile.own.entry(self.function.clone()).or_default() += cost;
            }
        }
    }

    fn name(&mut self, written: &str) -> String {
        let (number, name) = written.split_once(' ').unwrap_or((written, ""));
        if !number.starts_with('(') {
            return written.to_owned();
        }
        if !name.is_empty() {
            self.names.insert(number.to_owned(), name.to_owned());
        }
        self.names.get(number).cloned().unwrap_or_default()
    }
}
