//! The exit codes of the `fedora-messaging` command, which systemd units and people know.

use bootstep::{Error, Fault};

/// What keeps a callback from being made.
pub const EXIT_CALLBACK: u8 = 1;
/// A setting is wrong.
pub const EXIT_CONFIG: u8 = 2;
/// An exchange, queue or binding could not be declared.
pub const EXIT_DECLARE: u8 = 10;
/// Something else went wrong before consuming began.
pub const EXIT_REGISTER: u8 = 11;
/// The broker took the consumer away: its queue was deleted.
pub const EXIT_CANCELLED: u8 = 12;
/// A callback failed with something other than `Nack`, `Drop` or `HaltConsumer`.
pub const EXIT_FAILED: u8 = 13;
/// The TLS or AMQP handshake failed: the certificate, the login, the virtual host.
pub const EXIT_HANDSHAKE: u8 = 14;
/// A queue may not be read.
pub const EXIT_PERMISSION: u8 = 15;

/// The exit code for what ended a boot; `consuming` is the name of the step that consumes.
pub fn exit_code_of(err: &Error, consuming: &str) -> u8 {
    match (err.step().unwrap_or_default(), err.fault()) {
        (_, Fault::Config | Fault::Blueprint) => EXIT_CONFIG,
        ("connect" | "connect-publisher", Fault::AccessRefused) => EXIT_HANDSHAKE,
        // Whatever the broker says to a declaration is a refusal, a missing permission too.
        (
            "declare-dead-letters",
            Fault::Mismatch | Fault::NotFound | Fault::Locked | Fault::AccessRefused | Fault::Unsupported,
        ) => EXIT_DECLARE,
        // A queue that the broker names is declared and bound when it is consumed.
        (step, Fault::NotFound | Fault::Mismatch) if step == consuming => EXIT_DECLARE,
        (step, Fault::AccessRefused) if step == consuming => EXIT_PERMISSION,
        _ => EXIT_REGISTER,
    }
}

/// The exit code of the `publish` command for what went wrong.
pub fn publish_exit_code_of(err: &Error) -> u8 {
    match err.fault() {
        Fault::Config => EXIT_CONFIG,
        Fault::Timeout | Fault::Unreachable | Fault::Lost | Fault::ChannelClosed => 111,
        Fault::NotTaken | Fault::AccessRefused | Fault::NotFound => 121,
        _ => 1,
    }
}
