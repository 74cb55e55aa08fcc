//! The content header of a message: its size and properties (AMQP 0-9-1, section 4.2.6.1).

use super::fields::{is_utf8, mend, Fields, Mend};
use super::table::{amend, survey, Verdict};
use std::ops::Range;

/// Class, weight, body size and flags, before the properties themselves.
const FIXED: usize = 14;

/// RabbitMQ takes no larger message, whatever it is set to (<https://www.rabbitmq.com/docs/configure>, `max_message_size`).
const BODY_MAX: u64 = 512 * 1024 * 1024;

const HEADERS: u16 = 1 << 13;

enum Kind {
    Short,
    Octet,
    Time,
    Table,
}

/// The properties in their order, from the highest flag down, and what they are called.
const PROPERTIES: [(&str, Kind); 14] = [
    ("content-type", Kind::Short),
    ("content-encoding", Kind::Short),
    ("headers", Kind::Table),
    ("delivery-mode", Kind::Octet),
    ("priority", Kind::Octet),
    ("correlation-id", Kind::Short),
    ("reply-to", Kind::Short),
    ("expiration", Kind::Short),
    ("message-id", Kind::Short),
    ("timestamp", Kind::Time),
    ("type", Kind::Short),
    ("user-id", Kind::Short),
    ("app-id", Kind::Short),
    ("cluster-id", Kind::Short),
];

/// What had to be done to a content header.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// How long the payload is now: never longer than it was.
    pub length: usize,
    pub mends: Vec<Mend>,
}

/// A property that cannot be read as it is.
struct Unreadable {
    name: &'static str,
    /// Where its text or table stands among the properties.
    place: Range<usize>,
    /// For a table.
    verdict: Option<Verdict>,
}

/// Makes a content header readable, at the cost of what cannot be read. `Err` says why the peer is not to be believed.
pub(super) fn mend_header(payload: &mut [u8]) -> Result<Mended, String> {
    let mut fixed = Fields::new(payload);
    let (Some(_class), Some(_weight), Some(size), Some(flags)) = (fixed.u16(), fixed.u16(), fixed.u64(), fixed.u16()) else {
        return Err("a content header that ends too early".into());
    };
    if size > BODY_MAX {
        return Err(format!("a message of {size} bytes, where RabbitMQ has at most {BODY_MAX}"));
    }
    let mut mended = Mended { length: payload.len(), mends: Vec::new() };
    let list = &mut payload[FIXED..];
    match unreadable(list, flags) {
        // All of them are mended, or taken out, only when it is known where each stands.
        Some(unreadable) => unreadable.into_iter().for_each(|property| mend_property(payload, flags, property, &mut mended)),
        None => {
            let why = "its properties break the rules of AMQP".into();
            mended.mends.push(Mend { why, name: "properties", original: list.to_vec() });
            set_flags(payload, 0);
            mended.length = FIXED;
        }
    }
    Ok(mended)
}

/// The properties that cannot be read as they are; `None` if they cannot be told apart.
fn unreadable(list: &mut [u8], flags: u16) -> Option<Vec<Unreadable>> {
    let mut fields = Fields::new(list);
    let mut unreadable = Vec::new();
    for (place, (name, kind)) in PROPERTIES.iter().enumerate() {
        if flags & (1 << (15 - place)) == 0 {
            continue;
        }
        match kind {
            Kind::Octet => fields.skip(1)?,
            Kind::Time => fields.skip(8)?,
            Kind::Short => {
                let length = fields.u8()?.into();
                if !is_utf8(fields.take(length)?) {
                    unreadable.push(Unreadable { name, place: fields.at() - length..fields.at(), verdict: None });
                }
            }
            Kind::Table => {
                let table = fields.long()?;
                let (length, verdict) = (table.len(), survey(table));
                if verdict != Verdict::Readable {
                    let place = fields.at() - length..fields.at();
                    unreadable.push(Unreadable { name, place, verdict: Some(verdict) });
                }
            }
        }
    }
    // No more flags follow, and nothing stands behind what the flags tell of.
    (flags & 0b11 == 0 && fields.is_at_end()).then_some(unreadable)
}

/// Mends one where it stands; headers that cannot be mended are taken out. Properties behind those are found as before, because
/// the headers come third and whatever stands before them is mended by then.
fn mend_property(payload: &mut [u8], flags: u16, property: Unreadable, mended: &mut Mended) {
    let gone = payload.len() - mended.length;
    let place = FIXED + property.place.start - gone..FIXED + property.place.end - gone;
    let bytes = &mut payload[place.clone()];
    let original = bytes.to_vec();
    let why = match property.verdict {
        None => {
            mend(bytes);
            format!("its {} is not UTF-8", property.name)
        }
        Some(Verdict::Readable | Verdict::WithBytes) => return amend(bytes, true),
        Some(Verdict::WithBadNames) => {
            amend(bytes, true);
            "a header's name is not UTF-8".into()
        }
        Some(verdict) => {
            // With the length that stands before it.
            payload.copy_within(place.end.., place.start - 4);
            mended.length -= place.len() + 4;
            set_flags(payload, flags & !HEADERS);
            let is_deep = verdict == Verdict::TooDeep;
            if is_deep { "its headers are nested too deep" } else { "its headers break the rules of AMQP" }.into()
        }
    };
    mended.mends.push(Mend { why, name: property.name, original });
}

fn set_flags(payload: &mut [u8], flags: u16) {
    payload[FIXED - 2..FIXED].copy_from_slice(&flags.to_be_bytes());
}
