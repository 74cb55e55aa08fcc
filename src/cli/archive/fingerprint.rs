//! What two failures have in common: their queue and their reason, without what differs from message to message.
//!
//! Numbers, hexadecimal ids, UUIDs, addresses, times and what stands in quotes become a sign for it; what is left is the pattern.
//! A pattern with the name of its queue, hashed with FNV-1a to 32 bits, is the id. It is the same in every run.

use std::net::IpAddr;

/// No reason says more in what comes behind that.
const PATTERN_AT_MOST: usize = 300;

/// So many hexadecimal digits are an id, if at least one is a digit; fewer could be a word.
const ID_FROM: usize = 6;

/// A sort of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub id: String,
    pub pattern: String,
}

impl Fingerprint {
    pub fn of(queue: &str, reason: &str) -> Self {
        let pattern = pattern(reason);
        let id = format!("{:08x}", fnv1a([queue.as_bytes(), b"\0", pattern.as_bytes()]));
        Fingerprint { id, pattern }
    }
}

/// FNV-1a, 32 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn fnv1a(parts: [&[u8]; 3]) -> u32 {
    parts.into_iter().flatten().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The reason without what varies: `#` stands for numbers and ids, `"…"` for what was quoted.
fn pattern(reason: &str) -> String {
    let mut pattern = String::new();
    let mut rest = reason;
    while let (Some(next), true) = (rest.chars().next(), pattern.chars().count() < PATTERN_AT_MOST) {
        let word = next.is_ascii_alphanumeric() || next == ':';
        let length = if let Some(length) = quoted(rest, pattern.chars().last()) {
            pattern.push_str("\"…\"");
            length
        } else if let Some(length) = address(rest, pattern.chars().last()).or_else(|| uuid(rest)) {
            pattern.push('#');
            length
        } else if word && next != ':' {
            let length = rest.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(rest.len());
            push_word(&mut pattern, &rest[..length]);
            length
        } else {
            push_other(&mut pattern, next);
            next.len_utf8()
        };
        rest = &rest[length..];
    }
    joined(pattern.trim_end())
}

/// How long a quotation is that begins here, with its quotes. An apostrophe within a word begins none.
fn quoted(rest: &str, before: Option<char>) -> Option<usize> {
    let quote = rest.chars().next().filter(|quote| "\"'`".contains(*quote))?;
    if quote == '\'' && before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let end = rest[1..].find(quote)? + 1;
    (!rest[1..end].contains('\n')).then_some(end + 1)
}

/// How long an IP address is that begins here.
fn address(rest: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|before| before.is_alphanumeric() || before == ':') {
        return None;
    }
    let end = rest.find(|it: char| !it.is_ascii_hexdigit() && it != '.' && it != ':').unwrap_or(rest.len());
    let text = rest[..end].trim_end_matches(['.', ':']);
    let without_port = text.rsplit_once(':').map_or(text, |(host, _)| host);
    [text, without_port].into_iter().find(|it| it.len() > 2 && it.parse::<IpAddr>().is_ok()).map(str::len)
}

fn uuid(rest: &str) -> Option<usize> {
    let text = rest.get(..36)?;
    let is_in_place = |(place, character): (usize, char)| match place {
        8 | 13 | 18 | 23 => character == '-',
        _ => character.is_ascii_hexdigit(),
    };
    text.char_indices().all(is_in_place).then_some(36)
}

fn push_word(pattern: &mut String, word: &str) {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let is_hexadecimal = word.chars().all(|it| it.is_ascii_hexdigit()) || word.starts_with("0x");
    let is_id = digits > 0 && ((is_hexadecimal && word.len() >= ID_FROM) || word.len() >= 16 || word.starts_with("0x"));
    // A date is joined to its time by a `T`.
    let is_time = digits > 0 && word.chars().all(|it| it.is_ascii_digit() || it == 'T' || it == 'Z');
    if is_id || is_time {
        pattern.push('#');
        return;
    }
    for character in word.chars() {
        match character.is_ascii_digit() {
            false => pattern.push(character),
            true if pattern.ends_with('#') => {}
            true => pattern.push('#'),
        }
    }
}

fn push_other(pattern: &mut String, character: char) {
    match character.is_whitespace() || character.is_control() {
        false => pattern.push(character),
        true if pattern.is_empty() || pattern.ends_with(' ') => {}
        true => pattern.push(' '),
    }
}

/// Numbers with nothing but a sign between them are one: `2026-11-21`, `1.5`, `127.0.0.1:5672`.
fn joined(pattern: &str) -> String {
    let mut joined = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        joined.push(character);
        if character == '#' {
            let mut before = joined.chars().rev().skip(1);
            let (sign, number) = (before.next(), before.next());
            if sign.is_some_and(|sign| ".:,/-+".contains(sign)) && number == Some('#') {
                joined.truncate(joined.len() - 2);
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reason: &str, expected: &str) {
        assert_eq!(pattern(reason), expected);
    }

    #[test]
    fn what_varies_is_taken_out_of_a_reason() {
        check("order 4711 not found", "order # not found");
        check("order 3f2a9c01 not found", "order # not found");
        check("order 123e4567-e89b-12d3-a456-426614174000 not found", "order # not found");
        check("no product named \"tea\" in 'shop'", "no product named \"…\" in \"…\"");
        check("connect to 127.0.0.1:5672: refused", "connect to #: refused");
        check("connect to [fe80::1]:5672 failed", "connect to [#]:# failed");
        check("at 2026-11-21T16:38:34.123Z: late by 1.5 s", "at #: late by # s");
        check("took 350ms, allowed 300ms", "took #ms, allowed #ms");
        check("0x7f00 is no address", "# is no address");
        check("line 1\n\tline 2\u{1b}[31m", "line # line # [#m");
        check("token 01ARZ3NDEKTSV4RRFFQ69G5FAV expired", "token # expired");
    }

    #[test]
    fn words_stay_as_they_are() {
        for same in ["can't decode, it's dead beef", "a decade of facades", "`x", "", "it is 'so", "…äöü"] {
            check(same, same);
        }
        check("HTTP/1.1 503 from v2", "HTTP/# # from v#");
    }

    #[test]
    fn an_id_is_the_same_in_every_run_and_other_for_another_queue() {
        let id = |queue: &str, reason: &str| Fingerprint::of(queue, reason).id;
        assert_eq!(fnv1a([b"foobar", b"", b""]), 0xbf9c_f968, "as its authors have it");
        assert_eq!(id("orders", "order 1 failed"), id("orders", "order 22 failed"));
        assert_ne!(id("orders", "order 1 failed"), id("invoices", "order 1 failed"));
        assert_eq!(id("orders", "order 1 failed").len(), 8);
    }

    #[test]
    fn a_long_reason_is_cut_and_no_text_makes_it_panic() {
        assert!(pattern(&"word ".repeat(1000)).chars().count() <= PATTERN_AT_MOST + 4);
        for text in ["\"", "''", "'\"'", "123e4567-e89b-12d3-a456-42661417400ä", ":::", "1.", "::", "0x", "ä1ä"] {
            pattern(text);
        }
    }
}
