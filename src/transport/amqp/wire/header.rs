//! The content header of a message: its size and properties (AMQP 0-9-1, section 4.2.6.1).

use super::fields::Fields;
use super::table::{amend, survey, Verdict};

/// Class, weight, body size and flags, before the properties themselves.
const FIXED: usize = 14;

/// RabbitMQ takes no larger message, whatever it is set to (<https://www.rabbitmq.com/docs/configure>, `max_message_size`).
const BODY_MAX: u64 = 512 * 1024 * 1024;

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
    /// Why, and the bytes as they came.
    pub flaws: Vec<(String, &'static str, Vec<u8>)>,
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
    let mut mended = Mended { length: payload.len(), flaws: Vec::new() };
    let original = |payload: &[u8]| payload[FIXED..].to_vec();
    match mend_properties(&mut payload[FIXED..], flags, &mut mended.flaws) {
        Some(None) => {}
        Some(Some(headers)) => {
            let (start, end) = (FIXED + headers.start, FIXED + headers.end);
            payload.copy_within(end.., start);
            mended.length -= end - start;
            payload[FIXED - 2..FIXED].copy_from_slice(&(flags & !HEADERS).to_be_bytes());
        }
        None => {
            mended.flaws.push(("its properties break the rules of AMQP".into(), "properties", original(payload)));
            payload[FIXED - 2..FIXED].copy_from_slice(&[0, 0]);
            mended.length = FIXED;
        }
    }
    Ok(mended)
}

const HEADERS: u16 = 1 << 13;

/// Answers where the headers stand if they must go; `None` if the properties cannot be told apart.
fn mend_properties(
    list: &mut [u8],
    flags: u16,
    flaws: &mut Vec<(String, &'static str, Vec<u8>)>,
) -> Option<Option<std::ops::Range<usize>>> {
    let mut fields = Fields::new(list);
    let mut unreadable = None;
    for (place, (name, kind)) in PROPERTIES.iter().enumerate() {
        if flags & (1 << (15 - place)) == 0 {
            continue;
        }
        match kind {
            Kind::Octet => fields.skip(1)?,
            Kind::Time => fields.skip(8)?,
            Kind::Short => {
                if let Some(original) = fields.short_string()? {
                    flaws.push((format!("its {name} is not UTF-8"), name, original));
                }
            }
            Kind::Table => {
                let start = fields.at();
                let table = fields.long()?;
                let verdict = survey(table);
                let original =
                    if matches!(verdict, Verdict::Readable | Verdict::WithBytes) { Vec::new() } else { table.to_vec() };
                let why = match verdict {
                    Verdict::Readable => continue,
                    Verdict::WithBytes => {
                        amend(table, true);
                        continue;
                    }
                    Verdict::WithBadNames => {
                        amend(table, true);
                        "a header's name is not UTF-8"
                    }
                    Verdict::TooDeep => "its headers are nested too deep",
                    Verdict::Broken => "its headers break the rules of AMQP",
                };
                flaws.push((why.into(), name, original));
                if verdict != Verdict::WithBadNames {
                    unreadable = Some(start..fields.at());
                }
            }
        }
    }
    // No more flags follow, and nothing stands behind what the flags tell of.
    (flags & 0b11 == 0 && fields.is_at_end()).then_some(unreadable)
}
