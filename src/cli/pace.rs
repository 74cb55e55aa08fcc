//! How fast a command moves messages, if it is to go easy on whoever gets them.

use super::session::Interrupt;
use std::time::{Duration, Instant};

/// How long a wait goes on before it looks whether somebody wants to stop.
const TICK: Duration = Duration::from_millis(100);

/// So many messages in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(f64);

impl Rate {
    /// Reads `500/s`, `30/m`, `10/h`; a bare number is meant for a second.
    pub fn parse(text: &str) -> Result<Rate, String> {
        let (number, unit) = text.trim().split_once('/').unwrap_or((text.trim(), "s"));
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => f64::NAN,
        };
        let per_second = number.trim().parse::<f64>().unwrap_or(f64::NAN) / seconds;
        match per_second.is_finite() && per_second > 0.0 {
            true => Ok(Rate(per_second)),
            false => Err(format!("`{text}` is not a rate; write messages and their time, such as `500/s`, `30/m` or `10/h`")),
        }
    }
}

/// Keeps to a rate, from when it is made.
pub(crate) struct Pace {
    rate: Option<Rate>,
    began: Instant,
    gone: u64,
}

impl Pace {
    pub fn of(rate: Option<Rate>) -> Self {
        Pace { rate, began: Instant::now(), gone: 0 }
    }

    /// How many messages make a batch: at this rate not more than a tenth of a second has.
    pub fn batch(&self, most: usize) -> usize {
        self.rate.map_or(most, |Rate(per_second)| ((per_second / 10.0) as usize).clamp(1, most))
    }

    /// How many go in a minute, if that is known: who has more in hand has them for longer.
    pub fn minute(&self) -> u64 {
        self.rate.map_or(u64::MAX, |Rate(per_second)| (per_second * 60.0).ceil() as u64)
    }

    /// Waits until the next ones may go; `false` if somebody wants to stop before that.
    pub fn wait(&mut self, next: usize, interrupt: &Interrupt) -> bool {
        if let Some(Rate(per_second)) = self.rate {
            let after = Duration::try_from_secs_f64(self.gone as f64 / per_second).unwrap_or(Duration::MAX);
            loop {
                let left = after.saturating_sub(self.began.elapsed());
                if left.is_zero() {
                    break;
                }
                if interrupt.is_asked() {
                    return false;
                }
                pause(left);
            }
        }
        self.gone += next as u64;
        true
    }
}

/// Lets time pass, and not too much at once: whoever waits longer asks in between whether to go on.
pub(crate) fn pause(wanted: Duration) {
    // A channel that never gets anything: a wait that needs no explanation to the scheduler.
    let _ = crossbeam_channel::never::<()>().recv_timeout(wanted.min(TICK));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_with_or_without_its_unit() {
        let check = |text: &str, expected: f64| assert_eq!(Rate::parse(text), Ok(Rate(expected)), "{text}");
        check("500/s", 500.0);
        check("500", 500.0);
        check(" 30 / m ", 0.5);
        check("0.5/s", 0.5);
        check("7200/h", 2.0);
        for wrong in ["", "0", "-1", "fast", "5/week", "/s", "inf", "NaN"] {
            assert!(Rate::parse(wrong).unwrap_err().contains("is not a rate"), "{wrong}");
        }
    }

    #[test]
    fn a_batch_is_a_tenth_of_a_second() {
        let check = |text, expected| assert_eq!(Pace::of(Rate::parse(text).ok()).batch(200), expected, "{text}");
        check("1/m", 1);
        check("500/s", 50);
        check("1000000/s", 200);
    }

    #[test]
    fn a_minute_has_sixty_seconds_at_any_rate() {
        let check = |rate, expected| assert_eq!(Pace::of(rate).minute(), expected);
        check(Rate::parse("1/h").ok(), 1);
        check(Rate::parse("5/s").ok(), 300);
        check(None, u64::MAX);
    }
}
