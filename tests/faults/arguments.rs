//! What can be said on the command line.

use crate::settings::{Kind, Layout};
use std::str::FromStr;

/// What to run.
#[derive(Clone, Debug)]
pub struct Arguments {
    pub seed: u64,
    pub runs: u64,
    pub messages: u64,
    pub faults: usize,
    pub kinds: Vec<Kind>,
    pub layout: Layout,
    pub cases: Vec<String>,
}

pub const HELP: &str = "\
Publishes numbered messages, breaks things at random moments, and counts what is lost, duplicated, stuck or misplaced.

    cargo run --release -p bootstep-faults -- [FLAGS]

    --seed N        where the random moments come from (by default another one each time; it is printed)
    --runs N        storms, in turns with each kind of queue (10)
    --messages N    messages of each storm (20000)
    --faults N      faults of each storm (6)
    --kind KIND     classic or quorum (by default both)
    --layout NAME   how messages wait for a retry: levels or shared, the latter for classic queues (levels)
    --cases NAMES   which named cases to run before the storms: all, none, or names with commas in between (all)
    --help          this

The exit code is 0 if nothing is lost, stuck, misplaced or duplicated without a fault, and 1 otherwise.
With BOOTSTEP_FAULTS_KEEP set, evidence and logs of good runs are kept too.
BOOTSTEP_RABBITMQ_ROOT names a folder with another RabbitMQ in it, to be run by `chroot`.
";

impl Arguments {
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            seed: fastrand::u64(..1_000_000),
            runs: 10,
            messages: 20_000,
            faults: 6,
            kinds: vec![Kind::Classic, Kind::Quorum],
            layout: Layout::Levels,
            cases: vec!["all".to_owned()],
        };
        let mut words = words;
        while let Some(flag) = words.next() {
            if flag == "--help" {
                return Err(HELP.to_owned());
            }
            let value = words.next().ok_or_else(|| format!("`{flag}` wants a value; see --help"))?;
            match flag.as_str() {
                "--seed" => arguments.seed = number(&flag, &value)?,
                "--runs" => arguments.runs = number(&flag, &value)?,
                "--messages" => arguments.messages = number(&flag, &value)?,
                "--faults" => arguments.faults = number(&flag, &value)?,
                "--kind" => arguments.kinds = vec![value.parse()?],
                "--layout" => arguments.layout = value.parse()?,
                "--cases" => arguments.cases = value.split(',').map(str::to_owned).collect(),
                other => return Err(format!("`{other}` is not known; see --help")),
            }
        }
        Ok(arguments)
    }
}

fn number<T: FromStr>(flag: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("`{flag}` wants a number, not `{value}`"))
}
