//! The methods that a server sends with texts in them, which amiquip reads as UTF-8 or not at all.

use super::fields::{Fields, Mend};
use super::table::{survey, Verdict};

/// What a method frame means to whoever screens.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    /// Nothing that matters here.
    Other,
    /// A message follows on this channel; what had to be mended of its envelope.
    Delivery {
        tag: u64,
        mends: Vec<Mend>,
    },
    /// Another message follows on this channel, which nobody settles.
    Content,
    /// A channel begins; its number may have been another's.
    ChannelOpen,
    ChannelEnd,
    /// The largest frame that the server proposes; 0 is no limit.
    Tune {
        frame_max: u32,
    },
}

/// Reads a method, and mends its texts where they stand. What ends too early is left to amiquip, which says so.
pub(super) fn mend_method(channel: u16, payload: &mut [u8]) -> Result<Meaning, String> {
    let mut fields = Fields::new(payload);
    let (Some(class), Some(method)) = (fields.u16(), fields.u16()) else { return Ok(Meaning::Other) };
    // amiquip would log the whole method.
    if (class == 10) != (channel == 0) {
        return Err(format!("a method of the wrong channel ({class}.{method} on {channel})"));
    }
    match (class, method) {
        (10, 10) => start(fields),
        // connection.start-ok holds the password, and amiquip logs whatever comes that it does not expect.
        (10, 11 | 21 | 31 | 40) => Err(format!("a method that only clients send ({class}.{method})")),
        (10, 30) => Ok(tune(fields).unwrap_or(Meaning::Other)),
        (60, 60) => Ok(deliver(fields).unwrap_or(Meaning::Other)),
        (60, 50) => {
            let _ = strings(&mut fields, 2, 3);
            Ok(Meaning::Content)
        }
        (60, 71) => {
            let _ = strings(&mut fields, 9, 2);
            Ok(Meaning::Content)
        }
        // connection.close and channel.close: a reason that RabbitMQ cut after 255 bytes may end within a character.
        (10, 50) | (20, 40) => {
            let _ = strings(&mut fields, 2, 1);
            Ok(if class == 20 { Meaning::ChannelEnd } else { Meaning::Other })
        }
        (20, 11) => Ok(Meaning::ChannelOpen),
        (20, 41) => Ok(Meaning::ChannelEnd),
        // connection.open-ok and .blocked, queue.declare-ok, basic.consume-ok, .cancel, .cancel-ok.
        (10, 41) | (10, 60) | (50, 11) | (60, 21) | (60, 30) | (60, 31) => {
            let _ = strings(&mut fields, 0, 1);
            Ok(Meaning::Other)
        }
        _ => Ok(Meaning::Other),
    }
}

/// Mends so many short strings behind so many bytes.
fn strings(fields: &mut Fields<'_>, behind: usize, count: usize) -> Option<()> {
    fields.skip(behind)?;
    (0..count).try_for_each(|_| fields.short_string().map(drop))
}

/// What the server says of itself must be harmless: it comes before anybody has said who they are.
fn start(mut fields: Fields<'_>) -> Result<Meaning, String> {
    let (_major, _minor) = (fields.u8(), fields.u8());
    match fields.long().map(|table| survey(table)) {
        Some(Verdict::TooDeep) => Err("properties of the server that are nested too deep".into()),
        _ => Ok(Meaning::Other),
    }
}

fn tune(mut fields: Fields<'_>) -> Option<Meaning> {
    fields.u16()?;
    Some(Meaning::Tune { frame_max: fields.u32()? })
}

fn deliver(mut fields: Fields<'_>) -> Option<Meaning> {
    fields.short_string()?;
    let tag = fields.u64()?;
    fields.u8()?;
    let mut mends = Vec::new();
    for (name, what) in [("exchange", "the name of its exchange"), ("routing-key", "its routing key")] {
        if let Some(original) = fields.short_string()? {
            mends.push(Mend { why: format!("{what} is not UTF-8"), name, original });
        }
    }
    Some(Meaning::Delivery { tag, mends })
}
