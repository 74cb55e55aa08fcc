//! amiquip's errors in our words: the sort that code decides by, and no URL or password ever.

use crate::error::{Error, Fault};
use amiquip::Error as Theirs;

/// What went wrong in a call that opens the connection; `whom` names broker and user.
pub(super) fn opening(theirs: &Theirs, whom: &str, overran: bool) -> Error {
    if overran || matches!(theirs, Theirs::ConnectionTimeout) {
        return Error::new(Fault::Timeout, format!("{whom} did not finish the handshake in time"));
    }
    match theirs {
        // RabbitMQ closes the socket without a word; a handshake that stalls here and ends looks the same.
        Theirs::InvalidCredentials => Error::new(
            Fault::AccessRefused,
            format!("{whom} was refused: check user name and password (the user `guest` may only connect from localhost)"),
        ),
        Theirs::ServerClosedConnection { code, message } => {
            let fault = if matches!(code, 403 | 530) { Fault::AccessRefused } else { Fault::Unreachable };
            Error::new(fault, format!("{whom} was refused: {code} {message}"))
        }
        Theirs::UnsupportedAuthMechanism { .. } | Theirs::FrameMaxTooSmall { .. } => {
            Error::new(Fault::Config, format!("{whom}: {theirs}"))
        }
        other => Error::new(Fault::Unreachable, format!("{whom} did not answer as a broker: {other}")),
    }
}

/// What went wrong in a call on an open connection; `deed` completes "could not …".
pub(super) fn calling(theirs: &Theirs, deed: &str, overran: bool) -> Error {
    if overran {
        return Error::new(Fault::Timeout, format!("could not {deed}: the broker did not answer in time"));
    }
    let (fault, cause) = sort(theirs);
    Error::new(fault, format!("could not {deed}: {cause}"))
}

/// What ended a channel or connection that was in use.
pub(super) fn ended(theirs: &Theirs) -> Error {
    match theirs {
        Theirs::ServerClosedChannel { code, message, .. } => {
            Error::new(Fault::ChannelClosed, format!("the broker closed the channel: {code} {message}"))
        }
        other => Error::new(Fault::Lost, format!("the connection to the broker is lost: {}", sort(other).1)),
    }
}

fn sort(theirs: &Theirs) -> (Fault, String) {
    match theirs {
        // RabbitMQ 3.10 closes the connection with 503 for it; 4.0 closes the channel with 406, as for arguments that differ.
        Theirs::ServerClosedChannel { code: 406, message, .. } if message.contains("unknown exchange type") => {
            (Fault::Unsupported, message.clone())
        }
        Theirs::ServerClosedChannel { code, message, .. } => (by_code(*code), message.clone()),
        Theirs::ServerClosedConnection { code, message } => {
            let fault = if matches!(code, 503 | 540 | 501) { Fault::Unsupported } else { Fault::Lost };
            (fault, format!("the broker closed the connection: {code} {message}"))
        }
        Theirs::ClientClosedChannel => (Fault::ChannelClosed, "the channel is closed".into()),
        Theirs::ExhaustedChannelIds => {
            (Fault::ChannelClosed, "no channel is left on this connection: `channel_max` is too low".into())
        }
        Theirs::MissedServerHeartbeats => (Fault::Lost, "the broker was silent for two heartbeats".into()),
        Theirs::UnexpectedSocketClose => (Fault::Lost, "the socket was closed".into()),
        Theirs::EventLoopDropped | Theirs::EventLoopClientDropped => (Fault::Lost, "the connection is gone".into()),
        other => (Fault::Lost, other.to_string()),
    }
}

fn by_code(code: u16) -> Fault {
    match code {
        403 => Fault::AccessRefused,
        404 => Fault::NotFound,
        405 => Fault::Locked,
        406 => Fault::Mismatch,
        _ => Fault::ChannelClosed,
    }
}
