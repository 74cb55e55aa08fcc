//! What is promised of the worker beside the others, and whether what was measured holds it.

use crate::contender::{CELERY, INTAKE_THREAD, LAPIN, POOL, RABBITMQ_C, RABBITMQ_C_50, SLEEPING};
use crate::results::{CaseResults, Results, Series};
use std::fmt::Write;

/// One promise, and how it stands.
pub struct Promise {
    pub what: String,
    pub bound: Bound,
    /// Nothing if a contender was missing or the case was not measured.
    pub measured: Option<f64>,
}

/// What a measured number has to be.
#[derive(Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Promise {
    pub fn new(what: impl Into<String>, bound: Bound, measured: Option<f64>) -> Promise {
        Promise { what: what.into(), bound, measured }
    }

    pub fn is_held(&self) -> Option<bool> {
        self.measured.map(|measured| match self.bound {
            Bound::AtLeast(least) => measured >= least,
            Bound::AtMost(most) => measured <= most,
        })
    }
}

/// The table of all promises.
pub fn table(promises: &[Promise]) -> String {
    let mut text = "| promise | target | measured | held |\n|---|--:|--:|---|\n".to_owned();
    for promise in promises {
        let target = match promise.bound {
            Bound::AtLeast(least) => format!("≥ {least}"),
            Bound::AtMost(most) => format!("≤ {most}"),
        };
        let measured = promise.measured.map_or("–".into(), |measured| format!("{measured:.3}"));
        let held = match promise.is_held() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        let _ = writeln!(text, "| {} | {target} | {measured} | {held} |", promise.what);
    }
    text
}

/// What `compare` tells about the promises.
pub fn of_compare(results: &Results) -> Vec<Promise> {
    let base = results.case("prefetch", "100");
    let wide = results.case("prefetch", "1000");
    let mut promises = beside_a_bare_client(base);
    for ours in [POOL.name, INTAKE_THREAD.name] {
        let what = format!("prefetch 1000: rate of {ours} to {}", RABBITMQ_C_50.name);
        promises.push(Promise::new(what, Bound::AtLeast(0.85), ratio(wide, ours, RABBITMQ_C_50.name, Series::rate)));
    }
    for (other, rate, cpu) in [(LAPIN.name, 2.5, 0.25), (CELERY.name, 3.0, 0.1)] {
        promises.extend(rate_and_cpu(base, POOL.name, other, rate, cpu));
    }
    let what = format!("64 threads that sleep 5 ms: rate of {} to {}", POOL.name, SLEEPING.name);
    let measured = ratio(results.case("sleep", "64"), POOL.name, SLEEPING.name, Series::rate);
    promises.push(Promise::new(what, Bound::AtLeast(0.98), measured));
    promises.extend(of_memory(results));
    promises
}

/// What `growth` tells about the promises.
pub fn of_growth(results: &Results) -> Vec<Promise> {
    let mut promises = Vec::new();
    let crowd = results.case("sleeping threads", "1000");
    for other in [RABBITMQ_C.name, RABBITMQ_C_50.name] {
        let what = format!("1,000 threads that sleep 5 ms: rate of {} to what the broker can feed ({other})", POOL.name);
        promises.push(Promise::new(what, Bound::AtLeast(0.95), ratio(crowd, POOL.name, other, Series::rate)));
    }
    for ours in [POOL.name, INTAKE_THREAD.name] {
        for (group, ends, what) in [
            ("many queues", ["1", "200"], "from 1 to 200 queues"),
            ("backlog", ["0", "1000000"], "from none to 1,000,000 waiting"),
        ] {
            let what = format!("CPU per message {what}, most to least: {ours}");
            promises.push(Promise::new(what, Bound::AtMost(1.15), spread(results, group, ends, ours)));
        }
        for (group, label, what) in [("many queues", "200", "200 queues"), ("backlog", "1000000", "1,000,000 waiting")] {
            let peak = results.case(group, label).and_then(|case| case.of(ours)).map(Series::peak_mib);
            promises.push(Promise::new(format!("peak MiB with {what}: {ours}"), Bound::AtMost(MOST_MIB), peak));
        }
    }
    promises
}

/// What the worker takes beside the bodies that its prefetch lets in: code, threads, buffers.
const MOST_MIB: f64 = 30.0;

fn beside_a_bare_client(base: Option<&CaseResults>) -> Vec<Promise> {
    let on_pool = rate_and_cpu(base, POOL.name, RABBITMQ_C.name, 1.1, 2.0);
    on_pool.into_iter().chain(rate_and_cpu(base, INTAKE_THREAD.name, RABBITMQ_C.name, 1.25, 1.2)).collect()
}

fn rate_and_cpu(case: Option<&CaseResults>, ours: &str, other: &str, least_rate: f64, most_cpu: f64) -> [Promise; 2] {
    let what = |thing: &str| format!("prefetch 100: {thing} of {ours} to {other}");
    [
        Promise::new(what("rate"), Bound::AtLeast(least_rate), ratio(case, ours, other, Series::rate)),
        Promise::new(what("CPU per message"), Bound::AtMost(most_cpu), ratio(case, ours, other, Series::cpu)),
    ]
}

fn ratio(case: Option<&CaseResults>, ours: &str, other: &str, value: fn(&Series) -> f64) -> Option<f64> {
    let case = case?;
    Some(value(case.of(ours)?) / value(case.of(other)?))
}

// How much more the dearest case of a group costs than the cheapest.
fn spread(results: &Results, group: &str, ends: [&str; 2], ours: &str) -> Option<f64> {
    // Without both ends, as `BENCH_ONLY` may leave it, what is between them says nothing.
    for end in ends {
        results.case(group, end)?.of(ours)?;
    }
    let costs: Vec<f64> = results.group(group).filter_map(|case| Some(case.of(ours)?.cpu())).collect();
    let most = costs.iter().copied().reduce(f64::max)?;
    let least = costs.iter().copied().reduce(f64::min)?;
    Some(most / least)
}

fn of_memory(results: &Results) -> Vec<Promise> {
    let small = results.cases.iter().filter(|case| case.bytes == 100).filter_map(peak_of_ours).reduce(f64::max);
    let mut promises =
        vec![Promise::new("peak MiB with 100 bytes, the most beside other clients", Bound::AtMost(MOST_MIB), small)];
    for case in results.group("bodies") {
        let what = format!("peak MiB, bodies of {}: {MOST_MIB} beyond prefetch × body", case.label);
        let bodies = case.bytes as f64 * f64::from(case.prefetch) / 1_048_576.0;
        promises.push(Promise::new(what, Bound::AtMost((MOST_MIB + bodies).round()), peak_of_ours(case)));
    }
    promises
}

fn peak_of_ours(case: &CaseResults) -> Option<f64> {
    [POOL, INTAKE_THREAD].iter().filter_map(|ours| Some(case.of(ours.name)?.peak_mib())).reduce(f64::max)
}
