//! A queue larger than any memory should be: what was looked at leaves nothing behind.

use super::{given_up, Place};
use crate::support::wait::eventually;
use bootstep::Queue;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// More than the first windows, so that the walk has changed them several times.
#[test]
fn thousands_are_listed_once_each_and_stay_in_order() {
    check_thousands(Queue::new("orders.archive"));
    // On RabbitMQ 3.10 those with a delivery limit put back what was looked at in another order.
    check_thousands(Queue::new("orders.archive").quorum());
}

#[track_caller]
fn check_thousands(queue: Queue) {
    let place = Place::with(queue);
    place.send((0..3000).map(|number| given_up(&number.to_string(), "late")));
    let (lines, _) = listed(&place);
    assert_eq!(lines, 3000);
    place.until_ready(3000);
    let expected: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
    assert_eq!(place.bodies(3000), expected);
}

/// What small ones let expect of the size is wrong for those behind them.
#[test]
fn large_ones_behind_small_ones_do_not_fill_the_memory() {
    let place = Place::archive();
    let body = |number: usize| if number < 1_500 { number.to_string() } else { "x".repeat(50_000) };
    place.send((0..4_000).map(|number| given_up(&body(number), "late")));
    place.stage.connection.declare_queue(&Queue::new("orders")).unwrap();
    let replay = ["archive", "replay", "orders", "--to", "orders", "--rate", "300/s"];
    let mut child = place.command(&replay).spawn().unwrap();
    place.stage.until("it has gone on for a while", || place.stage.ready("orders") >= 1_300);
    let peak_kb = high_water_kb(child.id()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(peak_kb < 60_000, "{peak_kb} kB at the peak");
}

/// `cargo test --release --features cli --test it -- --ignored a_million`, with what it prints: time and peak memory.
#[test]
#[ignore = "takes minutes"]
fn a_million_are_listed_in_the_memory_of_a_few() {
    let place = Place::archive();
    let mut peaks = Vec::new();
    let mut sent = 0;
    for goal in [100_000, 1_000_000] {
        while sent < goal {
            let batch: Vec<_> = (sent..sent + 10_000).map(|number| message(number).to("", "orders.archive")).collect();
            place.stage.connection.publish(&batch, Duration::from_secs(60)).unwrap();
            sent += batch.len();
        }
        place.until_ready(goal);
        let begun = Instant::now();
        let (lines, peak_kb) = listed(&place);
        eprintln!("{lines} messages in {:?}, {peak_kb} kB at the peak", begun.elapsed());
        assert_eq!(lines, goal);
        peaks.push(peak_kb);
        // Until then the queue is too busy to answer, and a call that was not answered costs its connection.
        eventually("all are back", Duration::from_secs(300), || is_back(&place, goal));
    }
    assert!(peaks[1] < peaks[0] + 20_000, "memory grows with the queue: {peaks:?} kB");
}

fn is_back(place: &Place, count: usize) -> bool {
    let status = place.stage.broker.connect("test").and_then(|it| it.declare_queue(&Queue::existing("orders.archive")));
    status.is_ok_and(|status| status.messages as usize == count)
}

fn message(number: usize) -> bootstep::Publication {
    given_up(&format!("{number:0200}"), &format!("order {number} was not taken"))
}

/// How many lines there were under the heading, and the most memory that the program had by then.
fn listed(place: &Place) -> (usize, u64) {
    let mut child = place.command(&["archive", "list", "orders", "--yes"]).stdout(Stdio::piped()).spawn().unwrap();
    let (mut lines, mut peak_kb) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines().skip(1) {
        lines += 1;
        let number = line.unwrap().split_whitespace().next().unwrap().parse::<usize>().unwrap();
        assert_eq!(number, lines, "in the order of the queue");
        if lines % 50000 == 0 {
            eprintln!("{lines} {:?}", high_water_kb(child.id()));
        }
        if lines % 1000 == 0 {
            peak_kb = peak_kb.max(high_water_kb(child.id()).unwrap_or(0));
        }
    }
    assert!(child.wait().unwrap().success());
    (lines, peak_kb)
}

fn high_water_kb(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
