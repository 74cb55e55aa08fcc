//! What is to become of a number: decided by the seed alone, so that a worker process and the judge agree without a word.

use crate::settings::{Mix, Settings};
use bootstep::{Properties, Publication, Value};

/// From here on numbers have headers that no client library would send.
pub const RAW: u64 = 1_000_000_000;

/// What the handler does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Ack,
    /// Fails so many times, then acks.
    Fail {
        times: u32,
    },
    /// Fails until it is archived.
    AlwaysFail,
    Archive,
    Reject,
    Undecodable,
    UnknownEncoding,
    BadHeaders,
    /// Fails once with 200 KB of words, then acks.
    LongError,
    /// Archived with 200 KB of words.
    LongArchive,
    /// Panics once, then acks.
    Panic,
    /// Takes its time, then acks.
    Hang,
    /// Takes longer than a shutdown waits for it, then acks.
    Overrun,
    /// Publishes another message, then acks.
    Publish,
    /// Handed back untouched when it comes for the first time.
    Requeue,
    /// Asks for the longest of all levels once, then acks.
    WaitLong,
}

/// Where a message is to be at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Done,
    Archive,
    Dead,
}

impl Fate {
    pub fn of(settings: &Settings, number: u64) -> Fate {
        if number >= RAW {
            return Fate::BadHeaders;
        }
        let draw = draw(settings.seed, number, 1_000);
        match settings.mix {
            Mix::Everything => any(draw),
            Mix::Acked => Fate::Ack,
            Mix::FailingOnce => Fate::Fail { times: 1 },
            Mix::Archived => Fate::AlwaysFail,
            Mix::OutOfOrder => match draw {
                0..=332 => Fate::Ack,
                333..=665 => Fate::Reject,
                666..=799 => Fate::Archive,
                800..=899 => Fate::Fail { times: 1 },
                _ => Fate::Hang,
            },
            Mix::LongBeforeShort if number & 1 == 0 => Fate::WaitLong,
            Mix::LongBeforeShort => Fate::Fail { times: 1 },
        }
    }

    pub fn place(self) -> Place {
        match self {
            Fate::AlwaysFail | Fate::Archive | Fate::LongArchive => Place::Archive,
            Fate::Reject | Fate::Undecodable | Fate::UnknownEncoding | Fate::BadHeaders => Place::Dead,
            _ => Place::Done,
        }
    }

    /// How often it fails before what becomes of it.
    pub fn failures(self, settings: &Settings) -> u32 {
        match self {
            Fate::Fail { times } => times,
            Fate::LongError | Fate::Panic | Fate::WaitLong => 1,
            Fate::AlwaysFail => settings.retries + 1,
            _ => 0,
        }
    }
}

fn any(draw: u64) -> Fate {
    match draw {
        0..=119 => Fate::Fail { times: 1 },
        120..=159 => Fate::Fail { times: 2 },
        160..=179 => Fate::AlwaysFail,
        180..=194 => Fate::Archive,
        195..=214 => Fate::Reject,
        215..=229 => Fate::Undecodable,
        230..=239 => Fate::UnknownEncoding,
        240..=244 => Fate::LongError,
        245..=249 => Fate::LongArchive,
        250..=259 => Fate::Panic,
        260..=269 => Fate::Hang,
        270 => Fate::Overrun,
        271..=290 => Fate::Publish,
        291..=293 => Fate::Requeue,
        _ => Fate::Ack,
    }
}

/// What a publisher may add to any message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dress {
    pub cc: bool,
    pub user_id: bool,
    pub expiration: bool,
}

impl Dress {
    pub fn of(settings: &Settings, number: u64) -> Dress {
        let everything = settings.mix == Mix::Everything && number < RAW;
        let one_in = |salt: u64, many: u64| everything && draw(settings.seed ^ salt, number, many) == 0;
        Dress { cc: one_in(0x63, 25), user_id: one_in(0x75, 10), expiration: one_in(0x65, 10) }
    }
}

/// Long enough that no message expires before its first attempt: that would be its publisher's own wish.
pub const EXPIRATION: &str = "600000";
/// Whom publishers log in as; workers are somebody else.
pub const PUBLISHER: &str = "guest";

/// The message with this number, on its way to the main queue.
pub fn publication(settings: &Settings, number: u64) -> Publication {
    let fate = Fate::of(settings, number);
    let dress = Dress::of(settings, number);
    let mut properties = Properties::persistent("application/json").header("x-number", number.to_string());
    properties.message_id = Some(number.to_string());
    if dress.cc {
        properties = properties.header("CC", Value::Array(vec![settings.copies().into()]));
    }
    properties.user_id = dress.user_id.then(|| PUBLISHER.to_owned());
    properties.expiration = dress.expiration.then(|| EXPIRATION.to_owned());
    if fate == Fate::UnknownEncoding {
        properties.content_encoding = Some("rot13".into());
    }
    let body = if fate == Fate::Undecodable { vec![0xff, b'{'] } else { body(number).into_bytes() };
    Publication::new("", &*settings.queue, body).with(properties).mandatory()
}

pub fn body(number: u64) -> String {
    format!("{{\"number\":{number}}}")
}

/// A number below `below`, the same for the same seed and number.
pub fn draw(seed: u64, number: u64, below: u64) -> u64 {
    fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).u64(..below)
}
