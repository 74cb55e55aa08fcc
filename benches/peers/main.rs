//! The worker beside its peers, each in a process of its own: `cargo bench -p bootstep-peers`, see README.md.

mod broker;
mod contender;
mod contenders;
mod fill;
mod measure;
mod order;
mod process;
mod task;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(name) = process::contender_to_be() {
        return contender::play(&name);
    }
    // cargo adds `--bench`, wherever the words stand.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let unknown = words.iter().find(|word| !["all", "compare", "growth", "latency", "report"].contains(&word.as_str()));
    if let Some(word) = unknown {
        eprintln!("`{word}` is none of `compare`, `growth`, `latency`, `report` and `all`");
        return ExitCode::from(2);
    }
    let is_wanted = |part: &str| words.is_empty() || words.iter().any(|word| word == part || word == "all");
    let broker = broker::PrivateBroker::start();
    if is_wanted("compare") {
        skeleton(&broker);
    }
    ExitCode::SUCCESS
}

// Stands where the cases will be: one drain each.
fn skeleton(broker: &broker::PrivateBroker) {
    let filler = fill::Filler::connect(broker.url());
    let queues = vec!["bench".to_owned()];
    for contender in contender::ALL {
        let task = task::Task {
            url: broker.url().to_owned(),
            queues: queues.clone(),
            messages: 10_000,
            prefetch: 100,
            ack_every: 1,
            threads: 2,
            handler: task::Work::Nothing,
            leaves_early: false,
        };
        filler.fill(&queues, task.messages, 100);
        let answer = process::Running::start(contender.command(&task)).and_then(process::Running::answer);
        println!("{}: {answer:?}", contender.name);
        filler.purge(&queues);
    }
    filler.delete(&queues);
}
