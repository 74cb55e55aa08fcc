//! Field tables as amiquip reads them: at the first field that it cannot read, it leaves out that one and all that follow.

use super::fields::mend;
use crate::limits::DEPTH_MAX;

/// What is to be said of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Readable,
    /// A text is not UTF-8, which AMQP allows: told to be bytes, it is read whole.
    WithBytes,
    /// The name of a field is not UTF-8.
    WithBadNames,
    TooDeep,
    Broken,
}

impl Verdict {
    /// The one that asks for more.
    fn and(self, other: Verdict) -> Verdict {
        if other as u8 > self as u8 {
            other
        } else {
            self
        }
    }

    fn is_walkable(self) -> bool {
        !matches!(self, Verdict::TooDeep | Verdict::Broken)
    }
}

/// Looks at a table (without its length), and changes nothing.
pub(super) fn survey(table: &[u8]) -> Verdict {
    walk(Rest(table), true, 1)
}

fn walk(mut rest: Rest<'_>, has_names: bool, depth: usize) -> Verdict {
    // amiquip goes down by recursion, on a stack that a hostile publisher could use up.
    if depth > DEPTH_MAX {
        return Verdict::TooDeep;
    }
    let mut verdict = Verdict::Readable;
    while !rest.0.is_empty() && verdict.is_walkable() {
        verdict = verdict.and(field(&mut rest, has_names, depth).unwrap_or(Verdict::Broken));
    }
    verdict
}

fn field(rest: &mut Rest<'_>, has_name: bool, depth: usize) -> Option<Verdict> {
    let mut verdict = Verdict::Readable;
    if has_name {
        let length = rest.take(1)?[0];
        if std::str::from_utf8(rest.take(length.into())?).is_err() {
            verdict = Verdict::WithBadNames;
        }
    }
    let kind = rest.take(1)?[0];
    let value = rest.value(kind)?;
    Some(match kind {
        b'S' if std::str::from_utf8(value).is_err() => verdict.and(Verdict::WithBytes),
        b'F' => verdict.and(walk(Rest(value), true, depth + 1)),
        b'A' => verdict.and(walk(Rest(value), false, depth + 1)),
        _ => verdict,
    })
}

/// Mends names, and calls bytes what is not text; of a table that can be walked, every length stays what it is.
pub(super) fn amend(table: &mut [u8], has_names: bool) {
    let mut at = 0;
    // A table that ends too early was found out by `survey`: then this stops where that did.
    while let Some(next) = amend_field(&mut table[at..], has_names) {
        at += next;
    }
}

/// Answers how long the field was.
fn amend_field(bytes: &mut [u8], has_name: bool) -> Option<usize> {
    let mut at = 0;
    if has_name {
        let length = usize::from(*bytes.first()?);
        mend(bytes.get_mut(1..1 + length)?);
        at = 1 + length;
    }
    let kind = *bytes.get(at)?;
    let mut rest = Rest(&bytes[at + 1..]);
    let before = rest.0.len();
    let value_length = rest.value(kind)?.len();
    let end = at + 1 + before - rest.0.len();
    let value = &mut bytes[end - value_length..end];
    match kind {
        b'F' => amend(value, true),
        b'A' => amend(value, false),
        b'S' if std::str::from_utf8(value).is_err() => bytes[at] = b'x',
        _ => {}
    }
    Some(end)
}

/// What is left of a table.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The bytes of a value, without their length if they have one (<https://www.rabbitmq.com/amqp-0-9-1-errata#section_3>).
    fn value(&mut self, kind: u8) -> Option<&'a [u8]> {
        let length = match kind {
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'S' | b'x' | b'A' | b'F' => u32::from_be_bytes(self.take(4)?.try_into().ok()?).try_into().ok()?,
            _ => return None,
        };
        self.take(length)
    }
}
