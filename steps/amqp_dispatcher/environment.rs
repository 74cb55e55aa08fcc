//! Where to connect, from the environment variables of amqp-dispatcher: `RABBITMQ_URL` and `RABBITMQ_HEARTBEAT`.

use bootstep::{Broker, Error, Fault};
use std::env::{self, VarError};

/// Where amqp-dispatcher connects unless told otherwise.
const DEFAULT_URL: &str = "amqp://guest:guest@localhost:5672/";

/// The broker that `RABBITMQ_URL` names, with the heartbeat of `RABBITMQ_HEARTBEAT` if that is set; see [`broker_url`].
///
/// # Errors
/// When one of them cannot be read ([`Fault::Config`]).
pub fn broker_from_env() -> Result<Broker, Error> {
    let (url, heartbeat) = (variable("RABBITMQ_URL")?, variable("RABBITMQ_HEARTBEAT")?);
    let url = broker_url(url.as_deref().unwrap_or(DEFAULT_URL), heartbeat.as_deref())?;
    Broker::amqp(&url).map_err(|err| Error::new(Fault::Config, "`RABBITMQ_URL` cannot be used").because(err))
}

fn variable(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(Error::new(Fault::Config, format!("the environment variable `{name}` is not UTF-8")))
        }
    }
}

/// What a `RABBITMQ_URL` says, as a URL for [`Broker::amqp`]. It may hold a password: it is not for a log.
///
/// | amqp-dispatcher | becomes |
/// |---|---|
/// | several hosts with one port behind the last, `amqp://a,b:5673/` | that port for each host that has none of its own |
/// | `/` for the virtual host | no path, which means the same |
/// | an `@` in the password or the virtual host | `%40` |
/// | `heartbeat` in the query that is absent, `none`, no number of seconds, or there twice | no `heartbeat`: the default, 10 s |
/// | `RABBITMQ_HEARTBEAT`, if not empty | `heartbeat`, whatever the query says |
///
/// ```
/// use bootstep::steps::amqp_dispatcher::broker_url;
///
/// let url = broker_url("amqp://shop:secret@a,b:5673/?heartbeat=none", Some("30"))?;
/// assert_eq!(url, "amqp://shop:secret@a:5673,b:5673?heartbeat=30");
/// # Ok::<(), bootstep::Error>(())
/// ```
///
/// # Errors
/// When `RABBITMQ_HEARTBEAT` is not a number of seconds ([`Fault::Config`]). What else is wrong, [`Broker::amqp`] tells.
pub fn broker_url(url: &str, heartbeat_override: Option<&str>) -> Result<String, Error> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (given, mut settings): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| pair.split('=').next() == Some("heartbeat"));
    let heartbeat = match heartbeat_override.filter(|seconds| !seconds.is_empty()) {
        Some(seconds) => Some(overriding(seconds)?),
        None => heartbeat_of(&given),
    };
    let heartbeat = heartbeat.map(|seconds| format!("heartbeat={seconds}"));
    settings.extend(heartbeat.as_deref());
    let separator = if settings.is_empty() { "" } else { "?" };
    Ok(format!("{}{separator}{}", address_of(address), settings.join("&")))
}

fn overriding(seconds: &str) -> Result<u16, Error> {
    let what = "`RABBITMQ_HEARTBEAT` is not a number of seconds from 0 to 65535; leave it out for the default";
    seconds.trim().parse().map_err(|_| Error::new(Fault::Config, what))
}

/// What cannot be understood leaves it at the default: there it did so as well, and a worker that does not start is worse.
fn heartbeat_of(given: &[&str]) -> Option<u16> {
    let values: Vec<&str> = given
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(_, value)| value.trim())
        .filter(|it| !it.is_empty())
        .collect();
    let [value] = values[..] else {
        if values.len() > 1 {
            log::warn!("`RABBITMQ_URL` has more than one `heartbeat`; the default is used");
        }
        return None;
    };
    if value.eq_ignore_ascii_case("none") {
        return None;
    }
    let seconds = value.parse().ok();
    if seconds.is_none() {
        log::warn!("the `heartbeat` in `RABBITMQ_URL` is not a number of seconds from 0 to 65535; the default is used");
    }
    seconds
}

/// The part before the query.
fn address_of(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let slash = rest.find('/').unwrap_or(rest.len());
    // An `@` behind the slash is the virtual host's if there is one before it, as there; else the password has a `/` in it.
    let login_end = rest[..slash].rfind('@').or_else(|| rest.rfind('@'));
    let (login, rest) = login_end.map_or((None, rest), |at| (Some(&rest[..at]), &rest[at + 1..]));
    let (hosts, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let login = login.map(|login| format!("{}@", login.replace('@', "%40").replace('/', "%2f"))).unwrap_or_default();
    let path = if path == "/" { "" } else { path };
    format!("{scheme}://{login}{}{}", with_last_port(hosts), path.replace('@', "%40"))
}

fn with_last_port(hosts: &str) -> String {
    let last = hosts.rsplit(',').next().and_then(port_of).unwrap_or_default();
    let with_port = |host: &str| if port_of(host).is_some() { host.to_owned() } else { format!("{host}{last}") };
    hosts.split(',').map(with_port).collect::<Vec<_>>().join(",")
}

/// The port behind a host with its colon, if it has one; an IPv6 address in brackets is full of colons.
fn port_of(host: &str) -> Option<&str> {
    let behind = host.rfind(']').map_or(0, |bracket| bracket + 1);
    host[behind..].find(':').map(|colon| &host[behind + colon..])
}

/// Who this is, for an operator: `<job>.<allocation>` on Nomad, else `<host>-<process id>`.
pub fn process_name() -> String {
    match (env::var("NOMAD_JOB_NAME"), env::var("NOMAD_ALLOC_ID")) {
        (Ok(job), Ok(allocation)) => format!("{job}.{allocation}"),
        _ => {
            // Linux tells by a file, most shells by a variable; elsewhere the connection's address has to do.
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| env::var("HOSTNAME"));
            format!("{}-{}", host.unwrap_or_else(|_| "host".into()).trim(), std::process::id())
        }
    }
}
