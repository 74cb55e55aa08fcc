//! What the benches share: contenders in processes of their own, in turns, and the medians of what they print.

use std::process::Command;
use std::time::Duration;

/// One of those that are measured side by side.
pub struct Contender {
    pub name: &'static str,
    /// Does the work, and says how long the work itself took.
    pub run: fn() -> Duration,
    /// What must be there before each run, if anything.
    pub prepare: fn(),
    /// Whether its rate is told as a ratio to the first one's.
    pub is_compared: bool,
}

/// How many messages each contender handles (`BENCH_MESSAGES`).
pub fn messages() -> usize {
    from_env("BENCH_MESSAGES").unwrap_or(100_000)
}

/// How many messages may be unsettled at once (`BENCH_PREFETCH`).
#[allow(dead_code, reason = "not every bench has one")]
pub fn prefetch() -> u16 {
    from_env("BENCH_PREFETCH").and_then(|count| u16::try_from(count).ok()).unwrap_or(100)
}

pub fn url() -> String {
    std::env::var("AMQP_URL").expect("AMQP_URL names the broker")
}

/// About 100 bytes of JSON.
pub fn body(id: usize) -> Vec<u8> {
    format!(r#"{{"id":{id:>8},"customer":"c-{:>6}","items":[11,22,33,44],"note":"leave it at the door, thank you"}}"#, id % 999)
        .into_bytes()
}

/// Measures the contenders in `BENCH_ROUNDS` turns and prints the medians; in a contender's own process, runs that.
pub fn compare(contenders: &[Contender]) {
    if let Ok(name) = std::env::var("BENCH_CONTENDER") {
        let contender = contenders.iter().find(|contender| contender.name == name);
        return report(contender.unwrap_or_else(|| panic!("there is no contender `{name}`")).run);
    }
    let rounds: usize = from_env("BENCH_ROUNDS").unwrap_or(5);
    println!("{} messages of {} bytes, {rounds} rounds, the median of each", messages(), body(0).len());
    let mut runs: Vec<Vec<Run>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.max(1) {
        contenders.iter().zip(&mut runs).for_each(|(contender, runs)| runs.push(run_apart(contender)));
    }
    runs.iter_mut().for_each(|runs| runs.sort_by(|one, other| one.rate.total_cmp(&other.rate)));
    let first = middle(&runs[0]).rate;
    println!(
        "{:<15} {:>12} {:>19} {:>6} {:>14} {:>9}",
        "", "messages/s", "slowest to fastest", "ratio", "CPU s/100,000", "peak MiB"
    );
    for (contender, runs) in contenders.iter().zip(&runs) {
        let run = middle(runs);
        let spread = format!("{:.0} to {:.0}", runs[0].rate, runs[runs.len() - 1].rate);
        let ratio = if contender.is_compared { format!("{:.2}", run.rate / first) } else { "-".into() };
        let name = contender.name;
        println!("{name:<15} {:>12.0} {spread:>19} {ratio:>6} {:>14.2} {:>9.1}", run.rate, run.cpu_seconds, run.peak_mib);
    }
}

fn from_env(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn middle(runs: &[Run]) -> &Run {
    &runs[runs.len() / 2]
}

struct Run {
    rate: f64,
    cpu_seconds: f64,
    peak_mib: f64,
}

fn run_apart(contender: &Contender) -> Run {
    (contender.prepare)();
    let (this, name) = (std::env::current_exe().expect("a running program has a path"), contender.name);
    let output = Command::new(this).env("BENCH_CONTENDER", name).output().expect("this program can be run again");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [rate, cpu_seconds, peak_mib] = numbers[..] else { panic!("{name} printed {text:?}") };
    Run { rate, cpu_seconds, peak_mib }
}

/// Runs a contender and prints rate, CPU seconds per 100,000 and peak memory.
fn report(run: fn() -> Duration) {
    let cpu_before = cpu_seconds();
    let took = run();
    let cpu = (cpu_seconds() - cpu_before) * 100_000.0 / messages() as f64;
    println!("{} {} {}", messages() as f64 / took.as_secs_f64(), cpu, peak_mib());
}

/// User and system time of this process, from /proc; 0 where there is none.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    // Linux counts in hundredths of a second on every common machine.
    ticks / 100.0
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
