//! Why a TLS connection did not come about, in words for the person who has to mend it.

use crate::error::Fault;
use rustls::{AlertDescription as Alert, CertificateError, Error as Theirs, InvalidMessage};
use std::io;

/// What stands behind an I/O error, if it is of TLS's making. A refused certificate is like a refused login: it ends a boot,
/// because somebody has to do something about it.
pub(in crate::transport::amqp) fn refusal(err: &io::Error) -> Option<(Fault, String)> {
    let theirs = err.get_ref()?.downcast_ref::<Theirs>()?;
    Some(match theirs {
        Theirs::InvalidCertificate(reason) => (Fault::AccessRefused, of_their_certificate(reason)),
        Theirs::AlertReceived(alert) => of_alert(*alert),
        Theirs::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            let what = "what it answers is not TLS: use the port for TLS, usually 5671, or write `amqp://`";
            (Fault::Config, what.into())
        }
        Theirs::PeerIncompatible(_) => (Fault::AccessRefused, format!("it speaks no TLS that is safe to speak: {theirs}")),
        other => (Fault::Unreachable, format!("the TLS connection failed: {other}")),
    })
}

fn of_their_certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => {
            "its certificate is from nobody who is trusted here; `cacertfile` names the file of the authority to trust".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "none".into() } else { presented.join(", ") };
            let expected = expected.to_str();
            format!(
                "its certificate is not for `{expected}`; names in it: {names}; \
                 `server_name_indication` sets which one to expect (a common name does not count)"
            )
        }
        CertificateError::NotValidForName => "its certificate is for another name; see `server_name_indication`".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired, or the clock here is wrong: {reason}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet, or the clock here is wrong: {reason}")
        }
        other => format!("its certificate cannot be trusted: {other}"),
    }
}

/// What the other end says before it hangs up (<https://www.rfc-editor.org/rfc/rfc8446#section-6>).
fn of_alert(alert: Alert) -> (Fault, String) {
    let refused = |what: &str| (Fault::AccessRefused, format!("{what} (TLS alert {alert:?})"));
    match alert {
        Alert::CertificateRequired | Alert::NoCertificate => {
            refused("it demands a certificate of ours; set `certfile` and `keyfile`")
        }
        Alert::UnknownCA => refused("it does not trust the authority of our certificate in `certfile`"),
        Alert::CertificateExpired => refused("our certificate in `certfile` has expired"),
        Alert::CertificateRevoked => refused("our certificate in `certfile` is revoked"),
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate | Alert::DecryptError => {
            refused("it does not accept our certificate in `certfile`")
        }
        // What a broker says to a client without a certificate under TLS 1.2, among other things.
        Alert::HandshakeFailure => refused(
            "it refuses the handshake: it may demand a certificate of ours (`certfile` and `keyfile`), or other ciphers",
        ),
        Alert::ProtocolVersion | Alert::InsufficientSecurity => refused("it wants another version of TLS, or other ciphers"),
        Alert::UnrecognisedName => refused("it does not go by the name that it was asked for; see `server_name_indication`"),
        Alert::AccessDenied => refused("it refuses us"),
        other => (Fault::Unreachable, format!("the TLS connection failed: the other end says {other:?}")),
    }
}
