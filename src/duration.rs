//! Times as people write them: `500ms`, `30s`, `1h 30m`, `7d`.

use std::time::Duration;

/// What stands in an error about a text that is no time.
const LIKE: &str = "write a number and its unit, such as `500ms`, `30s`, `5m`, `2h` or `7d`";

/// The time that a text names.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|_| format!("`{text}` is not a time; {LIKE}"))
}

/// A time in its largest units, two of them at the most: `2h 5m`, `3days`.
pub(crate) fn show(duration: Duration) -> String {
    // What is left out of a day is not worth the room, nor are the microseconds of a second.
    let unit = match duration.as_secs() {
        0 => return humantime::format_duration(Duration::from_millis(duration.as_millis() as u64)).to_string(),
        1..60 => 1,
        60..86_400 => 60,
        _ => 3_600,
    };
    humantime::format_duration(Duration::from_secs(duration.as_secs() / unit * unit)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_its_unit_and_never_without() {
        let check = |text: &str, expected_ms: u64| assert_eq!(parse(text), Ok(Duration::from_millis(expected_ms)), "{text}");
        check("500ms", 500);
        check(" 1h 30m ", 5_400_000);
        check("7d", 7 * 86_400_000);
        for wrong in ["", "30", "-1s", "soon", "1s1"] {
            assert!(parse(wrong).unwrap_err().ends_with(LIKE), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_shown_without_what_does_not_matter() {
        let check = |ms: u64, expected: &str| assert_eq!(show(Duration::from_millis(ms)), expected);
        check(250, "250ms");
        check(59_900, "59s");
        check(7_505_000, "2h 5m");
        check(3 * 86_400_000 + 5_000, "3days");
    }
}
