//! Times as people write them: `500ms`, `30s`, `1h 30m`, `7d`.

use std::time::Duration;

/// What stands in an error about a text that is no time.
const LIKE: &str = "write a number and its unit, such as `500ms`, `30s`, `5m`, `2h` or `7d`";

/// The units that a text may have. The crate behind it has more, and there `M` is a month: who writes `30M` means minutes.
const UNITS: [&str; 5] = ["ms", "s", "m", "h", "d"];

/// The time that a text names.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let mut words = text.split(|letter: char| !letter.is_alphabetic()).filter(|word| !word.is_empty());
    let parsed = humantime::parse_duration(text.trim()).ok().filter(|_| words.all(|word| UNITS.contains(&word)));
    parsed.ok_or_else(|| format!("`{text}` is not a time; {LIKE}"))
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
        for wrong in ["", "30", "-1s", "soon", "1s1", "30M", "1h 30M", "1y", "5us", "3days"] {
            assert!(parse(wrong).unwrap_err().ends_with(LIKE), "{wrong}");
        }
    }
}
