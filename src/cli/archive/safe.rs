//! Texts from messages as a terminal may be given them: whoever sent a message must not drive the screen of who looks at it.

/// One line: what is not to be seen as it is, is written as an escape.
pub(super) fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// Several lines, with their tabs.
pub(super) fn lines(text: &str) -> String {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            it if stays(it) || !drives(it) => safe.push(it),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            it => safe.push_str(&format!("\\u{{{:x}}}", it as u32)),
        }
    }
    safe
}

/// Control characters, and what turns the direction of writing or is not seen at all.
fn drives(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// One line of no more than so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    // Far behind what is shown nothing needs to be escaped.
    let near = text.char_indices().nth(most + 1).map_or(text, |(end, _)| &text[..end]);
    let safe = line(near);
    match safe.chars().count() > most {
        false => safe,
        true => safe.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A size in at most five characters and its unit.
pub(super) fn size(bytes: usize) -> String {
    let bytes = bytes as f64;
    match bytes {
        ..1000.0 => format!("{bytes} B"),
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        ..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

/// An age in seconds, in at most nine characters.
pub(super) fn age(seconds: Option<u64>) -> String {
    let Some(seconds) = seconds else { return "-".into() };
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |large: String, small: u64, unit: char| if small == 0 { large } else { format!("{large} {small}{unit}") };
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m"),
        3_600..86_400 => two(format!("{hours}h"), minutes % 60, 'm'),
        86_400..8_640_000 => two(format!("{days}d"), hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

/// A time in seconds since 1970, as a date.
pub(super) fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds} since 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_drives_the_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(line(text), expected);
        check("plain, äöü 日本 ✓", "plain, äöü 日本 ✓");
        check("a\u{1b}[2J\u{7}b\n\r\tc", "a\\u{1b}[2J\\u{7}b\\n\\r\\tc");
        check("\u{202e}txt.exe\u{9b}1m", "\\u{202e}txt.exe\\u{9b}1m");
        assert_eq!(lines("a\n\tb\u{1b}c"), "a\n\tb\\u{1b}c");
    }

    #[test]
    fn a_text_is_cut_by_characters() {
        let check = |text: &str, most: usize, expected: &str| assert_eq!(cut(text, most), expected);
        check("äöü", 3, "äöü");
        check("äöüß", 3, "äö…");
        check("a\nb", 3, "a\\…");
        check("abc", 0, "…");
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!([0, 999, 1234, 99_999_999].map(size), ["0 B", "999 B", "1.2 kB", "100.0 MB"]);
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(u64::MAX), "second 18446744073709551615 since 1970");
        assert_eq!(
            [None, Some(59), Some(7505), Some(200_000), Some(90_000_000)].map(age),
            ["-", "59s", "2h 5m", "2d 7h", "1041d"]
        );
    }
}
