//! What a command says on standard error while it works and when it is done; standard output is for what it was asked for.

use std::io::{self, IsTerminal, Write};

/// Tells the person one thing.
pub(crate) fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    // A progress bar may stand there, and is drawn again below.
    let over = if stderr.is_terminal() { "\r\x1b[K" } else { "" };
    // Who has closed standard error does not want to know.
    let _ = writeln!(stderr, "{over}{text}");
}

/// So many of something, as a person reads it: `1 message`, `100,000 messages`.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// So many of the messages of a queue.
pub(crate) fn part_of(number: u64, all: u64, queue: &str) -> String {
    format!("{} of the {} in `{queue}`", count(number, "message"), grouped(all))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn a_count_is_written_as_a_person_reads_it() {
        let check = |number, expected: &str| assert_eq!(count(number, "message"), expected);
        check(0, "0 messages");
        check(1, "1 message");
        check(999, "999 messages");
        check(100_000, "100,000 messages");
        check(1_234_567, "1,234,567 messages");
    }
}
