//! What a program writes on standard error: passed on line by line, and the end of it kept as a reason.

use crate::logging;

/// So much of the end is kept: with the words around it, what a header holds of a reason.
const KEPT_BYTES: usize = 1_900;

/// A line is passed on in pieces beyond this.
const LONGEST_LINE_BYTES: usize = 8 * 1024;

/// The standard error of one program.
pub(super) struct Stderr {
    program: String,
    /// The end of all, and a little more.
    end: Vec<u8>,
    /// Whether there was more before it.
    is_cut: bool,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
}

impl Stderr {
    /// Nothing yet of this program.
    pub fn of(program: String) -> Self {
        Stderr { program, end: Vec::new(), is_cut: false, line: Vec::new() }
    }

    /// Takes what was written, and passes on whole lines.
    pub fn take(&mut self, bytes: &[u8]) {
        self.end.extend_from_slice(bytes);
        if self.end.len() > 2 * KEPT_BYTES {
            self.end.drain(..self.end.len() - KEPT_BYTES);
            self.is_cut = true;
        }
        self.line.extend_from_slice(bytes);
        let whole = self.line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole = if self.line.len() - whole > LONGEST_LINE_BYTES { self.line.len() } else { whole };
        if whole > 0 {
            logging::pass_on(&self.program, &self.line[..whole]);
        }
        self.line.drain(..whole);
    }

    /// No more comes: an unfinished line is passed on.
    pub fn finish(&mut self) {
        if !self.line.is_empty() {
            self.line.push(b'\n');
            logging::pass_on(&self.program, &self.line);
            self.line.clear();
        }
    }

    /// Forgets what was said about another message.
    pub fn forget(&mut self) {
        self.end.clear();
        self.is_cut = false;
    }

    /// The end of it: whole lines if that is possible, without the line end; nothing if nothing was said.
    pub fn tail(&self) -> Option<String> {
        tail(&self.end, self.is_cut)
    }
}

/// The end of a text of which this is the last part.
pub(super) fn tail(end: &[u8], is_cut: bool) -> Option<String> {
    let text = String::from_utf8_lossy(end);
    let text = text.trim_end();
    let mut from = text.len().saturating_sub(KEPT_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let is_cut = is_cut || from > 0;
    let kept = &text[from..];
    let whole = if is_cut { kept.find('\n').map_or(kept, |at| &kept[at + 1..]) } else { kept };
    let whole = whole.trim_start();
    (!whole.is_empty()).then(|| whole.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(tail(text.as_bytes(), false).as_deref(), expected);
    }

    #[test]
    fn a_reason_is_the_end_in_whole_lines() {
        check("", None);
        check(" \n\n", None);
        check("one\ntwo\n", Some("one\ntwo"));
        let long = "x".repeat(10_000);
        check(&format!("{long}\nthe end\n"), Some("the end"));
        check(&long, Some(&long[..KEPT_BYTES]));
        check(&format!("a{}", "ä".repeat(5_000)), Some(&"ä".repeat(KEPT_BYTES / 2)));
    }
}
