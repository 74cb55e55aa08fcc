//! Where the broker is and who we are there: the AMQP URL, with the password kept out of every output.

use crate::error::{Error, Fault};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::time::Duration;

/// A parsed AMQP URL (<https://www.rabbitmq.com/docs/uri-spec>).
#[derive(Clone, PartialEq)]
pub(crate) struct Address {
    pub host: String,
    pub port: u16,
    pub virtual_host: String,
    pub user: String,
    pub password: String,
    pub heartbeat: Duration,
    pub connection_timeout: Duration,
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let url = url::Url::parse(text).map_err(|err| match err {
            url::ParseError::RelativeUrlWithoutBase => wrong(format!("the AMQP URL is {}: {LIKE_THIS}", kind_of(text))),
            err => wrong(format!("the AMQP URL cannot be read: {err}; {LIKE_THIS}")),
        })?;
        match url.scheme() {
            "amqp" => {}
            "amqps" => return Err(wrong("`amqps://` is not supported yet; use `amqp://`")),
            other => return Err(wrong(format!("the AMQP URL begins with `{other}:`; {LIKE_THIS}"))),
        }
        if url.fragment().is_some() || url.query().is_some_and(|query| query.contains('@')) {
            return Err(wrong(
                "the AMQP URL has a `#`, or an `@` after a `?`; write `?` in a user name or password as `%3f`, `#` as `%23`",
            ));
        }
        let mut address = Address {
            host: host(&url),
            port: url.port().unwrap_or(5672),
            virtual_host: virtual_host(&url)?,
            user: "guest".into(),
            password: "guest".into(),
            heartbeat: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(10),
        };
        if !url.username().is_empty() {
            address.user = decoded(url.username(), "user name")?;
        }
        if let Some(password) = url.password() {
            address.password = decoded(password, "password")?;
        }
        for (name, value) in url.query_pairs() {
            address.set(&name, &value)?;
        }
        Ok(address)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let number = || value.parse::<u64>().map_err(|_| wrong(format!("`{name}` in the AMQP URL is not a whole number")));
        match name {
            // AMQP carries it in sixteen bits of seconds.
            "heartbeat" => match number()? {
                seconds @ 0..=65_535 => self.heartbeat = Duration::from_secs(seconds),
                _ => return Err(wrong("`heartbeat` in the AMQP URL is more than 65535 seconds")),
            },
            "connection_timeout" => match number()? {
                milliseconds @ 1..=3_600_000 => self.connection_timeout = Duration::from_millis(milliseconds),
                _ => return Err(wrong("`connection_timeout` in the AMQP URL is not from 1 to 3600000 milliseconds")),
            },
            other => {
                let known = "`heartbeat` (seconds) and `connection_timeout` (milliseconds)";
                return Err(wrong(format!("`{other}` in the AMQP URL is not known; known are {known}")));
            }
        }
        Ok(())
    }
}

const LIKE_THIS: &str = "write it like `amqp://user:password@host:5672/virtual-host`, or just `amqp://host`";

/// Never the text itself, which may hold a password.
fn kind_of(text: &str) -> &'static str {
    if text.trim().is_empty() {
        "empty"
    } else {
        "no URL"
    }
}

fn host(url: &url::Url) -> String {
    match url.host_str() {
        None | Some("") => "localhost".into(),
        // The socket functions want an IPv6 address without its brackets.
        Some(host) => host.trim_start_matches('[').trim_end_matches(']').into(),
    }
}

/// `amqp://host` is the default virtual host `/`; after a slash stands the name, so `amqp://host/` names the empty one.
fn virtual_host(url: &url::Url) -> Result<String, Error> {
    match url.path().strip_prefix('/') {
        None => Ok("/".into()),
        Some("") => Err(wrong(
            "the AMQP URL ends in `/`, which names the virtual host ``; leave the slash out for `/`, or write `/%2f`",
        )),
        Some(path) if path.contains('/') => {
            Err(wrong("the AMQP URL has more than one `/` in its path; write a slash in a virtual host's name as `%2f`"))
        }
        Some(path) if path.contains('@') => {
            Err(wrong("the AMQP URL has an `@` in its path; write `/` in a user name or password as `%2f`, and `@` as `%40`"))
        }
        Some(path) => decoded(path, "virtual host"),
    }
}

fn decoded(text: &str, what: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| wrong(format!("the {what} in the AMQP URL is not UTF-8")))
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new(Fault::Config, what)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{}@{open}{}{close}:{}, virtual host `{}`", self.user, self.host, self.port, self.virtual_host)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let shown = match Address::parse(url) {
            Ok(address) => format!("{address} {:?}", address.password),
            Err(err) => err.to_string(),
        };
        assert!(shown.contains(expected), "{url}: {shown}");
    }

    #[test]
    fn a_url_gives_every_part_or_its_default() {
        check("amqp://localhost", "guest@localhost:5672, virtual host `/` \"guest\"");
        check("amqp://u%20s:p%40ss@h:1/v%2fh?heartbeat=3", "u s@h:1, virtual host `v/h` \"p@ss\"");
        check("amqp://[::1]:7", "guest@[::1]:7");
        check("amqp://h/", "leave the slash out");
        check("amqp://h/a/b", "more than one `/`");
        check("http://h", "begins with `http:`; write it like `amqp://");
        check("localhost:5672", "begins with `localhost:`; write it like");
        check("", "is empty: write it like");
        check("rabbit", "is no URL: write it like");
        check("amqp://user:12/rest@host", "`@` in its path");
        check("amqp://user:12?s3cret@host", "the AMQP URL has a `#`, or an `@` after a `?`; write");
        check("amqp://user:12#s3cret@host", "the AMQP URL has a `#`, or an `@` after a `?`; write");
        check("amqp://h?heartbeet=1", "`heartbeet` in the AMQP URL is not known");
        check("amqp://h?heartbeat=soon", "not a whole number");
        check("amqp://h?connection_timeout=18446744073709551615", "not from 1 to 3600000 milliseconds");
    }

    #[test]
    fn the_password_is_in_no_output() {
        let address = Address::parse("amqp://user:s3cret@h").expect("this is a good URL");
        assert!(!format!("{address} {address:?}").contains("s3cret"));
    }
}
