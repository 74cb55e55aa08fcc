//! Where the broker is and who we are there: the AMQP URL, with the password kept out of every output.
//!
//! It is read by hand, because a URL has one host and this one may have several. What stands in no right place is never quoted
//! in an error: a password whose `@` or `/` was not escaped can come to lie anywhere.

use super::settings::{Mechanism, Settings};
use crate::error::{Error, Fault};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::Ipv6Addr;

/// A host of a parsed AMQP URL (<https://www.rabbitmq.com/docs/uri-spec>), and all there is to know to connect to it.
#[derive(Clone, PartialEq)]
pub(crate) struct Address {
    pub host: String,
    pub port: u16,
    pub virtual_host: String,
    pub user: String,
    pub password: String,
    pub settings: Settings,
}

/// One or more hosts, any of which will do; never none.
#[derive(Clone, PartialEq)]
pub(crate) struct Addresses(Vec<Address>);

impl Addresses {
    /// The hosts of one URL, `amqp://user:password@a,b:5673/virtual-host`.
    pub fn parse(url: &str) -> Result<Self, Error> {
        parse(url.trim()).map(Addresses)
    }

    /// The hosts of several URLs.
    pub fn parse_all<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut all = Vec::new();
        for (index, url) in urls.into_iter().enumerate() {
            let parsed = Addresses::parse(url).map_err(|err| wrong(format!("URL {}: {err}", index + 1)))?;
            all.extend(parsed.0);
        }
        match all.is_empty() {
            true => Err(wrong(format!("no AMQP URL is given; {LIKE_THIS}"))),
            false => Ok(Addresses(all)),
        }
    }

    /// These hosts, of which there is at least one.
    #[cfg(feature = "cli")]
    pub fn of(hosts: Vec<Address>) -> Self {
        Addresses(hosts)
    }

    pub fn hosts(&self) -> &[Address] {
        &self.0
    }
}

fn parse(text: &str) -> Result<Vec<Address>, Error> {
    let (scheme, rest) = scheme_of(text)?;
    if rest.contains("://") {
        let what = "the AMQP URL has another one in it; name its hosts as in `amqp://a,b/virtual-host`";
        return Err(wrong(format!("{what}, or hand several URLs to `Broker::amqp_any`; {ESCAPES}")));
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if rest.contains(['@', '#']) {
        return Err(wrong(format!("the AMQP URL has a `#`, or an `@` behind a `/` or `?`; {ESCAPES}")));
    }
    let (login, hosts) = match authority.split_once('@') {
        None => (None, authority),
        Some((_, hosts)) if hosts.contains('@') => {
            let what = "the AMQP URL has more than one `@`; its hosts share one user";
            return Err(wrong(format!("{what}, and {ESCAPES}")));
        }
        Some((login, hosts)) => (Some(login), hosts),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, password) = login.map_or_else(|| Ok(("guest".into(), "guest".into())), user_and_password)?;
    let port = match scheme {
        Scheme::Amqp => 5672,
        Scheme::Amqps => 5671,
    };
    // The hosts first: if a password has no `@` behind it, the rest may be a piece of that.
    let places: Vec<(String, u16)> = match hosts {
        "" => vec![("localhost".into(), port)],
        hosts => hosts.split(',').map(|host| host_and_port(host, port)).collect::<Result<_, _>>()?,
    };
    let settings = match scheme {
        Scheme::Amqp => Settings::plain(query)?,
        Scheme::Amqps => Settings::with_tls(query)?,
    };
    let virtual_host = virtual_host(path)?;
    let at = |(host, port)| Address {
        host,
        port,
        virtual_host: virtual_host.clone(),
        user: user.clone(),
        password: password.clone(),
        settings: settings.clone(),
    };
    Ok(places.into_iter().map(at).collect())
}

const LIKE_THIS: &str = "write it like `amqp://user:password@host:5672/virtual-host`, or just `amqp://host`";

const ESCAPES: &str = "in a user name, password or virtual host write `/` as `%2f`, `?` as `%3f`, `#` as `%23`, `@` as `%40`";

enum Scheme {
    Amqp,
    Amqps,
}

/// The scheme, and the URL behind it.
fn scheme_of(text: &str) -> Result<(Scheme, &str), Error> {
    if text.is_empty() {
        return Err(wrong(format!("the AMQP URL is empty: {LIKE_THIS}")));
    }
    // What is longer is no scheme that anybody meant.
    let is_scheme = |scheme: &str| matches!(scheme.len(), 1..=40) && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("amqp") => Ok((Scheme::Amqp, rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("amqps") => Ok((Scheme::Amqps, rest)),
        Some((scheme, _)) if is_scheme(scheme) => Err(wrong(format!("the AMQP URL begins with `{scheme}:`; {LIKE_THIS}"))),
        _ => Err(wrong(format!("the AMQP URL does not begin with `amqp://`; {LIKE_THIS}"))),
    }
}

fn user_and_password(login: &str) -> Result<(String, String), Error> {
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, decoded(password, "password")?),
        None => (login, "guest".into()),
    };
    match user {
        "" => Err(wrong("the AMQP URL has an `@` and no user name before it")),
        user => Ok((decoded(user, "user name")?, password)),
    }
}

fn host_and_port(text: &str, default_port: u16) -> Result<(String, u16), Error> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, port))) if port.is_empty() || port.starts_with(':') => {
            (ip_v6(host)?, (!port.is_empty()).then(|| &port[1..]))
        }
        Some(_) => return Err(wrong("the AMQP URL has an IPv6 address that is not written like `[::1]` or `[::1]:5672`")),
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(wrong(
                    "the AMQP URL has more than one `:` in a host; write an IPv6 address in brackets, like `[::1]`",
                ));
            }
            Some((host, port)) => (host_name(host)?, Some(port)),
            None => (host_name(text)?, None),
        },
    };
    match port.map(str::parse::<u16>) {
        None => Ok((host, default_port)),
        Some(Ok(port @ 1..)) => Ok((host, port)),
        Some(_) => Err(wrong("a port in the AMQP URL is not a number from 1 to 65535")),
    }
}

/// Without brackets, which the socket functions do not want; a zone, as in `fe80::1%25eth0`, is for them to know.
fn ip_v6(text: &str) -> Result<String, Error> {
    let address = decoded(text, "host")?;
    let (bare, zone) = address.split_once('%').unwrap_or((&address, "0"));
    match bare.parse::<Ipv6Addr>() {
        Ok(_) if is_name(zone) => Ok(address),
        _ => Err(wrong("the AMQP URL has brackets around something that is not an IPv6 address")),
    }
}

fn host_name(text: &str) -> Result<String, Error> {
    let name = decoded(text, "host")?;
    match name.as_str() {
        "" => Err(wrong("the AMQP URL has an empty host name among its hosts; write them like `amqp://a,b:5673`")),
        name if is_name(name) => Ok(name.into()),
        // Not quoted: it may be a password that lost its `@`.
        _ => Err(wrong("a host name in the AMQP URL has a character that is in no host name; several hosts have commas between them, and no spaces")),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '.' | '_'))
}

/// `amqp://host` is the default virtual host `/`; after a slash stands the name, so `amqp://host/` names the empty one.
fn virtual_host(path: &str) -> Result<String, Error> {
    match path.strip_prefix('/') {
        None => Ok("/".into()),
        Some("") => Err(wrong(
            "the AMQP URL ends in `/`, which names the virtual host ``; leave the slash out for `/`, or write `/%2f`",
        )),
        Some(name) if name.contains('/') => {
            Err(wrong("the AMQP URL has more than one `/` in its path; write a slash in a virtual host's name as `%2f`"))
        }
        Some(name) => decoded(name, "virtual host"),
    }
}

/// The text with its percent escapes resolved; `what` names it in an error.
pub(super) fn decoded(text: &str, what: &str) -> Result<String, Error> {
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if text.split('%').skip(1).any(|rest| !is_escape(rest)) {
        let what = format!("the {what} in the AMQP URL has a `%` without two hexadecimal digits behind it");
        return Err(wrong(format!("{what}; write `%` as `%25`")));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| wrong(format!("the {what} in the AMQP URL is not UTF-8")))
}

pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::new(Fault::Config, what)
}

impl Address {
    /// Host and port, as in a URL.
    pub fn place(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.settings.mechanism {
            Mechanism::Plain => write!(f, "{}@", self.user)?,
            // The broker takes the user from the certificate.
            Mechanism::External => {}
        }
        write!(f, "{}, virtual host `{}`", self.place(), self.virtual_host)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, address)| {
            let separator = if index == 0 { "" } else { ", or " };
            write!(f, "{separator}{address}")
        })
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Addresses({self})")
    }
}

#[cfg(test)]
mod tests;
