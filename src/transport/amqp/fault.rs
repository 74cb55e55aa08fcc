//! amiquip's errors in our words: the sort that code decides by, and no URL or password ever.

use super::address::Address;
use super::settings::Mechanism;
#[cfg(feature = "tls")]
use super::tls::refusal as of_tls;
use crate::error::{Error, Fault};
use amiquip::Error as Theirs;
use std::io;

/// What went wrong in the handshake of TLS, before AMQP has a say; `whom` names broker and user.
pub(super) fn shaking(err: io::Error, whom: &str, overran: bool) -> Error {
    if overran {
        return Error::new(Fault::Timeout, format!("{whom} did not finish the TLS handshake in time"));
    }
    match of_tls(&err) {
        Some((fault, what)) => Error::new(fault, format!("{whom}: {what}")),
        None if err.kind() == io::ErrorKind::UnexpectedEof => {
            Error::new(Fault::Unreachable, format!("{whom} closed the connection during the TLS handshake"))
        }
        None => Error::new(Fault::Unreachable, format!("{whom}: the handshake failed")).because(err),
    }
}

/// What went wrong in a call that opens the connection.
pub(super) fn opening(theirs: &Theirs, address: &Address, overran: bool) -> Error {
    let whom = address.to_string();
    if overran || matches!(theirs, Theirs::ConnectionTimeout) {
        return Error::new(Fault::Timeout, format!("{whom} did not finish the handshake in time"));
    }
    match theirs {
        // RabbitMQ closes the socket without a word; a handshake that stalls here and ends looks the same.
        Theirs::InvalidCredentials => Error::new(Fault::AccessRefused, format!("{whom} was refused: {}", login_hint(address))),
        Theirs::ServerClosedConnection { code, message } => {
            let fault = if matches!(code, 403 | 530) { Fault::AccessRefused } else { Fault::Unreachable };
            Error::new(fault, format!("{whom} was refused: {code} {message}"))
        }
        Theirs::UnsupportedAuthMechanism { available, requested } => {
            let what = format!("it does not let users log in by {requested}, but by {available}");
            let hint =
                if requested == "EXTERNAL" { "; for that it needs the plugin `rabbitmq_auth_mechanism_ssl`" } else { "" };
            Error::new(Fault::Config, format!("{whom}: {what}{hint}"))
        }
        Theirs::FrameMaxTooSmall { .. } => Error::new(Fault::Config, format!("{whom}: {theirs}")),
        Theirs::UnexpectedSocketClose if address.settings.tls.is_none() => {
            let what = "closed the connection during the handshake; a port for TLS may do so (`amqps://`, usually 5671)";
            Error::new(Fault::Unreachable, format!("{whom} {what}"))
        }
        Theirs::IoErrorReadingSocket { source } | Theirs::IoErrorWritingSocket { source } => reading_or_writing(source, &whom),
        other => Error::new(Fault::Unreachable, format!("{whom} did not answer as a broker: {other}")),
    }
}

fn reading_or_writing(err: &io::Error, whom: &str) -> Error {
    match of_tls(err) {
        Some((fault, what)) => Error::new(fault, format!("{whom}: {what}")),
        None => Error::new(Fault::Unreachable, format!("{whom} did not answer as a broker: {err}")),
    }
}

/// Without TLS nothing is of its making.
#[cfg(not(feature = "tls"))]
fn of_tls(_: &io::Error) -> Option<(Fault, String)> {
    None
}

fn login_hint(address: &Address) -> &'static str {
    match address.settings.mechanism {
        Mechanism::Plain => "check user name and password (the user `guest` may only connect from localhost)",
        Mechanism::External => {
            "the broker knows no user by the name in our certificate (`ssl_cert_login_from` says which name it takes)"
        }
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
        // The queue is there, and comes back with its node.
        Theirs::ServerClosedChannel { code: 404, message, .. } if message.contains("down or inaccessible") => {
            (Fault::ChannelClosed, message.clone())
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
