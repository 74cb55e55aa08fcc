//! The worker beside its peers, each in a process of its own: `cargo bench -p bootstep-peers`, see README.md.

mod broker;
mod case;
mod compare;
mod contender;
mod contenders;
mod fill;
mod foreign;
mod growth;
mod latency;
mod measure;
mod options;
mod order;
mod plot;
mod process;
mod promise;
mod report;
mod results;
mod run;
mod table;
mod task;

use std::process::ExitCode;

/// What can be asked for. All but the last measure something.
const WORDS: [&str; 4] = ["compare", "growth", "latency", "report"];

fn main() -> ExitCode {
    if let Some(name) = process::contender_to_be() {
        return latency::play(&name).unwrap_or_else(|| contender::play(&name));
    }
    // cargo adds `--bench`, wherever the words stand.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let Some(word) = words.iter().find(|word| *word != "all" && !WORDS.contains(&word.as_str())) {
        eprintln!("`{word}` is neither `all` nor one of {WORDS:?}");
        return ExitCode::from(2);
    }
    let is_wanted = |part: &str| words.is_empty() || words.iter().any(|word| word == part || word == "all");
    let options = options::Options::from_env();
    let parts: Vec<&str> = WORDS.into_iter().filter(|part| *part != "report" && is_wanted(part)).collect();
    if !parts.is_empty() {
        measure(&parts, &options);
    }
    report::write(&options);
    ExitCode::SUCCESS
}

fn measure(parts: &[&str], options: &options::Options) {
    let lineup = contender::Lineup::find();
    lineup.left_out().iter().for_each(|(name, why)| println!("left out: {name}: {why}"));
    let broker = broker::PrivateBroker::start();
    let bench = run::Bench { broker: &broker, lineup: &lineup, options };
    for part in parts {
        match *part {
            "compare" => bench.measure(&compare::cases()).write(&options.folder, part),
            "growth" => bench.measure(&growth::cases()).write(&options.folder, part),
            "latency" => latency::measure(&broker, options),
            part => unreachable!("`{part}` is checked above"),
        }
    }
}
