//! What the query of an AMQP URL sets, by RabbitMQ's names (<https://www.rabbitmq.com/docs/uri-query-parameters>).

use super::address::{decoded, wrong};
use crate::error::Error;
use crate::limits::FRAME_LIMIT;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// How a connection is opened and kept.
#[derive(Clone, PartialEq)]
pub(crate) struct Settings {
    pub heartbeat: Duration,
    /// For each host: everything up to the open connection.
    pub connection_timeout: Duration,
    /// 0 leaves it to the broker.
    pub channel_max: u16,
    /// The most that is asked for; a broker may grant less.
    pub frame_max: u32,
    pub mechanism: Mechanism,
    /// `None` without TLS.
    pub tls: Option<TlsSettings>,
}

/// How we say who we are (<https://www.rabbitmq.com/docs/access-control#mechanisms>).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mechanism {
    /// User and password.
    Plain,
    /// The client certificate.
    External,
}

/// Whom to trust, and who we are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TlsSettings {
    /// Who may have signed the broker's certificate; without it, whom the system trusts.
    pub cacertfile: Option<PathBuf>,
    /// Our certificate's file and its key's.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name to expect in the broker's certificate, if that is not the host's.
    pub server_name: Option<String>,
}

/// What is said of a name that is none of these.
const KNOWN: &str = "`heartbeat` (seconds), `connection_timeout` (milliseconds), `channel_max`, `frame_max` (bytes), \
    `auth_mechanism`, and with `amqps://` `cacertfile`, `certfile`, `keyfile`, `server_name_indication` and `verify`";

/// In bytes, what a name may have to be shown.
const NAME_MAX: usize = 40;

/// AMQP's smallest (<https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, frame-min-size).
const FRAME_MIN: u64 = 4096;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            heartbeat: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(10),
            channel_max: 0,
            frame_max: FRAME_LIMIT,
            mechanism: Mechanism::Plain,
            tls: None,
        }
    }
}

impl Settings {
    /// What a query sets behind `amqp://`.
    pub fn plain(query: &str) -> Result<Self, Error> {
        Settings::parse(query, Settings::default())
    }

    /// What a query sets behind `amqps://`.
    pub fn with_tls(query: &str) -> Result<Self, Error> {
        if cfg!(not(feature = "tls")) {
            return Err(tls_is_missing());
        }
        Settings::parse(query, Settings { tls: Some(TlsSettings::default()), ..Settings::default() })
    }

    fn parse(query: &str, mut settings: Settings) -> Result<Self, Error> {
        let mut given = BTreeSet::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name, "query")?, decoded(value, "query")?);
            settings.set(&name, &value)?;
            if !given.insert(name.clone()) {
                return Err(wrong(format!("`{name}` is in the AMQP URL twice")));
            }
        }
        settings.check()?;
        Ok(settings)
    }

    /// What none of the settings says alone.
    fn check(&self) -> Result<(), Error> {
        let client = self.tls.as_ref().and_then(|tls| tls.client.as_ref());
        match client {
            Some((certfile, _)) if certfile.as_os_str().is_empty() => {
                Err(wrong("the AMQP URL has a `keyfile` and no `certfile`: the key belongs to a certificate"))
            }
            Some((_, keyfile)) if keyfile.as_os_str().is_empty() => {
                Err(wrong("the AMQP URL has a `certfile` and no `keyfile`: a certificate is of use only with its key"))
            }
            None if self.mechanism == Mechanism::External => {
                let what = "`auth_mechanism=external` in the AMQP URL says who we are by a certificate";
                Err(wrong(format!("{what}: it needs `amqps://`, `certfile` and `keyfile`")))
            }
            _ => Ok(()),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let number = |allowed: RangeInclusive<u64>, unit: &str| {
            let number = value.parse::<u64>().ok().filter(|number| allowed.contains(number));
            let (least, most) = allowed.into_inner();
            number.ok_or_else(|| {
                let but = if value.is_empty() { "has no value; it is" } else { "is not" };
                wrong(format!("`{name}` in the AMQP URL {but} a whole number from {least} to {most}{unit}"))
            })
        };
        match name {
            // AMQP carries it in sixteen bits of seconds.
            "heartbeat" => self.heartbeat = Duration::from_secs(number(0..=65_535, " (seconds)")?),
            "connection_timeout" => {
                self.connection_timeout = Duration::from_millis(number(1..=3_600_000, " (milliseconds)")?);
            }
            "channel_max" => self.channel_max = number(0..=65_535, "")? as u16,
            "frame_max" => self.frame_max = number(FRAME_MIN..=FRAME_LIMIT.into(), " (bytes)")? as u32,
            "auth_mechanism" => {
                self.mechanism = match value {
                    mechanism if mechanism.eq_ignore_ascii_case("plain") => Mechanism::Plain,
                    mechanism if mechanism.eq_ignore_ascii_case("external") => Mechanism::External,
                    _ => return Err(wrong("`auth_mechanism` in the AMQP URL is neither `plain` nor `external`")),
                }
            }
            "cacertfile" => self.tls(name)?.cacertfile = Some(file(name, value)?),
            "certfile" => self.tls(name)?.client.get_or_insert_default().0 = file(name, value)?,
            "keyfile" => self.tls(name)?.client.get_or_insert_default().1 = file(name, value)?,
            "server_name_indication" => match value {
                "" => return Err(wrong("`server_name_indication` in the AMQP URL has no value; it is a name")),
                "disable" => {
                    let what = "`server_name_indication=disable` in the AMQP URL would leave unchecked whose certificate it is";
                    return Err(wrong(format!("{what}; give the name that is in the broker's certificate")));
                }
                name => self.tls("server_name_indication")?.server_name = Some(name.to_owned()),
            },
            "verify" => match value {
                "verify_peer" => drop(self.tls(name)?),
                "verify_none" => {
                    let what = "`verify=verify_none` in the AMQP URL would hand the password to whoever answers";
                    let instead = "name the file of the authority that signed the broker's certificate with `cacertfile`";
                    return Err(wrong(format!("{what}; {instead}")));
                }
                _ => return Err(wrong("`verify` in the AMQP URL can only be `verify_peer`, which it is without being set")),
            },
            // Nothing else is shown: it is no name somebody misspelt, it may be a piece of a password, and line ends could forge lines
            // of a log.
            other if other.len() > NAME_MAX || !other.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
                return Err(wrong(format!("a name in the query of the AMQP URL is not known; known are {KNOWN}")));
            }
            other => return Err(wrong(format!("`{other}` in the AMQP URL is not known; known are {KNOWN}"))),
        }
        Ok(())
    }

    fn tls(&mut self, name: &str) -> Result<&mut TlsSettings, Error> {
        let without = || wrong(format!("`{name}` in the AMQP URL is about TLS, which begins with `amqps://`"));
        self.tls.as_mut().ok_or_else(without)
    }
}

fn file(name: &str, value: &str) -> Result<PathBuf, Error> {
    match value {
        "" => Err(wrong(format!("`{name}` in the AMQP URL has no value; it is the path of a PEM file"))),
        path => Ok(path.into()),
    }
}

/// What is said of `amqps://` by a build that cannot speak it.
pub(super) fn tls_is_missing() -> Error {
    wrong("`amqps://` needs TLS, which this program was built without; turn on the feature `tls` of `bootstep`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: &str) {
        let shown = match Settings::plain(query) {
            Ok(Settings { heartbeat, connection_timeout, channel_max, frame_max, mechanism, .. }) => {
                format!("{heartbeat:?} {connection_timeout:?} {channel_max} {frame_max} {mechanism:?}")
            }
            Err(err) => err.to_string(),
        };
        assert!(shown.contains(expected), "{query}: {shown}");
    }

    #[test]
    fn every_setting_has_its_bounds_and_its_default() {
        check("", "10s 10s 0 16777216 Plain");
        check("heartbeat=0&connection_timeout=1&channel_max=65535&frame_max=4096", "0ns 1ms 65535 4096");
        check("&heart%62eat=%33&", "3s 10s 0 16777216");
        check("heartbeat=65536", "`heartbeat` in the AMQP URL is not a whole number from 0 to 65535 (seconds)");
        check("heartbeat=soon", "`heartbeat` in the AMQP URL is not a whole number");
        check("connection_timeout=0", "not a whole number from 1 to 3600000 (milliseconds)");
        check("connection_timeout=18446744073709551616", "not a whole number from 1 to 3600000 (milliseconds)");
        check("channel_max=-1", "`channel_max` in the AMQP URL is not a whole number from 0 to 65535");
        check("frame_max=0", "`frame_max` in the AMQP URL is not a whole number from 4096 to 16777216 (bytes)");
        check("frame_max=16777217", "not a whole number from 4096 to 16777216 (bytes)");
    }

    #[test]
    fn what_cannot_be_meant_is_said_so() {
        check("heartbeet=1", "`heartbeet` in the AMQP URL is not known; known are `heartbeat` (seconds)");
        check("heartbeat%0aERROR=1", "a name in the query of the AMQP URL is not known; known are `heartbeat`");
        check(&"heartbeat".repeat(9), "a name in the query of the AMQP URL is not known; known are `heartbeat`");
        check("heartbeat=1&heartbeat=1", "`heartbeat` is in the AMQP URL twice");
        check("heartbeat", "`heartbeat` in the AMQP URL has no value; it is a whole number from");
        check("heartbeat=", "`heartbeat` in the AMQP URL has no value; it is a whole number from");
        check("auth_mechanism=PLAIN", "Plain");
        check("auth_mechanism=amqplain", "neither `plain` nor `external`");
        check("auth_mechanism=external", "it needs `amqps://`, `certfile` and `keyfile`");
        check("cacertfile=ca.pem", "`cacertfile` in the AMQP URL is about TLS, which begins with `amqps://`");
        check("verify=verify_peer", "`verify` in the AMQP URL is about TLS");
        check("heartbeat=%3", "the query in the AMQP URL has a `%` without two hexadecimal digits");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_that_is_not_built_in_is_told_by_its_feature() {
        let err = Settings::with_tls("").err().expect("it is not built in");
        assert!(err.to_string().contains("turn on the feature `tls`"), "{err}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_has_settings_of_its_own() {
        let check = |query: &str, expected: &str| {
            let shown = match Settings::with_tls(query) {
                Ok(settings) => format!("{:?} {:?}", settings.mechanism, settings.tls.expect("it is TLS")),
                Err(err) => err.to_string(),
            };
            assert!(shown.contains(expected), "{query}: {shown}");
        };
        check("", "cacertfile: None, client: None, server_name: None");
        check("cacertfile=%2fca+1.pem&verify=verify_peer", "cacertfile: Some(\"/ca+1.pem\")");
        check("keyfile=k&auth_mechanism=external&certfile=c", "External TlsSettings");
        check("keyfile=k&certfile=c", "client: Some((\"c\", \"k\"))");
        check("server_name_indication=a.example", "server_name: Some(\"a.example\")");
        check("certfile=c", "a `certfile` and no `keyfile`");
        check("keyfile=k", "a `keyfile` and no `certfile`");
        check("auth_mechanism=external", "it needs `amqps://`, `certfile` and `keyfile`");
        check("cacertfile=", "`cacertfile` in the AMQP URL has no value; it is the path of a PEM file");
        check("cacertfile=a&cacertfile=b", "`cacertfile` is in the AMQP URL twice");
        check("server_name_indication=", "has no value");
        check("server_name_indication=disable", "would leave unchecked");
        check("verify=verify_none", "would hand the password to whoever answers; name the file");
        check("verify=maybe", "can only be `verify_peer`");
        check("cacert=x", "`cacert` in the AMQP URL is not known; known are");
    }
}
