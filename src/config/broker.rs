//! `[broker]`: where it is, who we are there, and how the connection is kept.

use super::fields::Fields;
use super::layers::unreadable;
use super::secret;
use super::Surroundings;
use crate::broker::Broker;
use crate::transport::amqp::{Address, Addresses, Mechanism, TlsSettings};
use config::ValueKind;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const KEYS: [&str; 15] = [
    "url",
    "url_file",
    "url_credential",
    "hosts",
    "virtual_host",
    "user",
    "password",
    "password_file",
    "password_credential",
    "heartbeat",
    "connection_timeout",
    "channel_max",
    "frame_max",
    "auth_mechanism",
    "tls",
];
pub(super) const TLS_KEYS: [&str; 4] = ["ca_file", "cert_file", "key_file", "server_name"];

/// The broker, if the settings say anything of it; what is wrong has been told.
pub(super) fn read(fields: &Fields<'_>, around: &Surroundings) -> Option<Broker> {
    addresses(fields, around).map(|addresses| Broker::at(Addresses::of(addresses)))
}

/// Its hosts; each part is looked at, so that each mistake is told.
pub(super) fn addresses(fields: &Fields<'_>, around: &Surroundings) -> Option<Vec<Address>> {
    fields.only(&KEYS);
    let way = KEYS[..3].iter().copied().filter(|way| fields.has(way)).max_by_key(|way| fields.rank(way));
    // A URL from the environment or a flag names another broker: what the file says of its own has no meaning there.
    let parts = &fields.without(&KEYS[3..], way.and_then(|way| fields.rank(way)));
    let tls = tls(parts, around);
    let wants_tls = tls.as_ref().map(Option::is_some);
    let given = match (way, secret::read(fields, "url", around)) {
        (Some(way), Some(url)) => given(fields, way, &url, wants_tls),
        (Some(_), None) => None,
        (None, _) => local(parts, wants_tls == Some(true)),
    };
    let is_tls = given.as_ref().and_then(|given| given.first()).map(|first| first.settings.tls.is_some());
    let named = named(parts, is_tls.or(wants_tls) == Some(true));
    let login = Login::read(parts, around);
    let settings = Settings::read(parts);
    let mut addresses = with_hosts(given?, named);
    for address in &mut addresses {
        login.put_on(address);
        settings.put_on(address);
        if let (Some(Some(tls)), Some(own)) = (&tls, &mut address.settings.tls) {
            tls.put_on(own);
        }
    }
    check_external(parts, &addresses);
    Some(addresses)
}

/// The hosts of a URL.
fn given(fields: &Fields<'_>, way: &str, url: &str, wants_tls: Option<bool>) -> Option<Vec<Address>> {
    let given =
        Addresses::parse(url).map_err(|err| fields.wrong(way, &format!("cannot be used: {err}"))).ok()?.hosts().to_vec();
    let is_tls = given.iter().any(|address| address.settings.tls.is_some());
    match wants_tls {
        Some(wants) if wants != is_tls => {
            let scheme = scheme(wants);
            fields.wrong("tls", &format!("and the scheme of `broker.{way}` do not agree; let that begin with `{scheme}://`"));
            None
        }
        _ => Some(given),
    }
}

/// The broker on this machine.
fn local(parts: &Fields<'_>, with_tls: bool) -> Option<Vec<Address>> {
    let local = Addresses::parse(&format!("{}://localhost", scheme(with_tls)));
    local.map(|local| local.hosts().to_vec()).map_err(|err| parts.wrong("tls", &format!("cannot be: {err}"))).ok()
}

fn scheme(with_tls: bool) -> &'static str {
    if with_tls {
        "amqps"
    } else {
        "amqp"
    }
}

/// The hosts that the settings name, if they do.
fn named(parts: &Fields<'_>, with_tls: bool) -> Option<Vec<Address>> {
    let hosts = parts.texts("hosts")?;
    if hosts.is_empty() {
        parts.wrong("hosts", "is empty; name one, or leave it out");
    }
    // More than a host would be read as another part of a URL, and might be a password.
    let is_host = |host: &str| !host.is_empty() && !host.contains(['@', '/', '?', '#', ',', '%']);
    // A build without TLS has been told so already.
    let scheme = scheme(with_tls && cfg!(feature = "tls"));
    let parse = |host: &str| Addresses::parse(&format!("{scheme}://{host}")).ok().filter(|_| is_host(host));
    let parsed: Vec<Option<Addresses>> = hosts.iter().map(|host| parse(host.trim())).collect();
    if parsed.iter().any(Option::is_none) {
        parts.wrong("hosts", "has one that is no host; write each like \"rabbit-1\", \"rabbit-2:5673\" or \"[::1]:5672\"");
    }
    Some(parsed.iter().flatten().flat_map(|one| one.hosts().to_vec()).collect())
}

/// The same login and settings on the hosts that are named, if some are.
fn with_hosts(given: Vec<Address>, named: Option<Vec<Address>>) -> Vec<Address> {
    match (named, given.first()) {
        (Some(named), Some(like)) => {
            named.into_iter().map(|Address { host, port, .. }| Address { host, port, ..like.clone() }).collect()
        }
        _ => given,
    }
}

#[derive(Default)]
struct Login {
    user: Option<String>,
    password: Option<String>,
    virtual_host: Option<String>,
}

impl Login {
    fn read(parts: &Fields<'_>, around: &Surroundings) -> Self {
        let user = parts.text("user");
        if user.as_deref() == Some("") {
            parts.wrong("user", "is empty; name one, or leave it out for `guest`");
        }
        Login { user, password: secret::read(parts, "password", around), virtual_host: parts.text("virtual_host") }
    }

    fn put_on(&self, address: &mut Address) {
        let Login { user, password, virtual_host } = self;
        put(&mut address.user, user);
        put(&mut address.password, password);
        put(&mut address.virtual_host, virtual_host);
    }
}

fn put<T: Clone>(place: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}

struct Settings {
    heartbeat: Option<Duration>,
    connection_timeout: Option<Duration>,
    channel_max: Option<u16>,
    frame_max: Option<u32>,
    mechanism: Option<Mechanism>,
}

impl Settings {
    fn read(parts: &Fields<'_>) -> Self {
        let heartbeat = parts.time("heartbeat").filter(|time| {
            let can_be = time.subsec_nanos() == 0 && time.as_secs() <= 65_535;
            if !can_be {
                parts.wrong("heartbeat", "is counted in whole seconds, up to 65535; 0s for none");
            }
            can_be
        });
        let hour = Duration::from_secs(3600);
        let connection_timeout = parts.time("connection_timeout").filter(|time| {
            let can_be = (Duration::from_millis(1)..=hour).contains(time);
            if !can_be {
                parts.wrong("connection_timeout", "has to be from 1ms to 1h");
            }
            can_be
        });
        let mechanism = parts.one_of("auth_mechanism", &["plain", "external"]);
        Settings {
            heartbeat,
            connection_timeout,
            channel_max: parts.whole("channel_max", 0..=65_535).and_then(|most| u16::try_from(most).ok()),
            frame_max: parts
                .whole("frame_max", 4096..=i64::from(crate::limits::FRAME_LIMIT))
                .and_then(|most| u32::try_from(most).ok()),
            mechanism: mechanism.map(|name| if name == "external" { Mechanism::External } else { Mechanism::Plain }),
        }
    }

    fn put_on(&self, address: &mut Address) {
        let settings = &mut address.settings;
        put(&mut settings.heartbeat, &self.heartbeat);
        put(&mut settings.connection_timeout, &self.connection_timeout);
        put(&mut settings.channel_max, &self.channel_max);
        put(&mut settings.frame_max, &self.frame_max);
        put(&mut settings.mechanism, &self.mechanism);
    }
}

fn check_external(parts: &Fields<'_>, addresses: &[Address]) {
    let lacks = |address: &Address| {
        let client = address.settings.tls.as_ref().and_then(|tls| tls.client.as_ref());
        address.settings.mechanism == Mechanism::External && client.is_none()
    };
    if parts.has("auth_mechanism") && addresses.iter().any(lacks) {
        parts.wrong("auth_mechanism", "says who we are by a certificate: it needs `tls` with `cert_file` and `key_file`");
    }
}

/// What `tls` says: nothing, `false`, or how.
fn tls(parts: &Fields<'_>, around: &Surroundings) -> Option<Option<Tls>> {
    match parts.raw("tls")?.kind {
        ValueKind::Boolean(false) => Some(None),
        ValueKind::Boolean(true) => Some(Some(Tls::default())),
        ValueKind::Table(_) => Some(Some(Tls::read(&parts.table("tls")?, around))),
        _ => {
            parts.wrong("tls", "has to be `true`, `false`, or a table such as { ca_file = \"ca.pem\" }");
            None
        }
    }
}

#[derive(Default)]
struct Tls {
    ca_file: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
}

impl Tls {
    fn read(fields: &Fields<'_>, around: &Surroundings) -> Self {
        fields.only(&TLS_KEYS);
        let file = |name: &str| {
            let path = around.path(&fields.text(name)?);
            // Opened, not read: it may be renewed before each connect.
            if let Err(err) = std::fs::File::open(&path) {
                fields.wrong(name, &format!("names `{}`: {}", path.display(), unreadable(&err)));
            }
            Some(path)
        };
        let (cert, key) = (file("cert_file"), file("key_file"));
        if fields.has("cert_file") != fields.has("key_file") {
            fields.wrong_at_all("has one of `cert_file` and `key_file`; a certificate is of use only with its key");
        }
        let server_name = fields.text("server_name").filter(|name| !name.is_empty());
        Tls { ca_file: file("ca_file"), client: cert.zip(key), server_name }
    }

    fn put_on(&self, own: &mut TlsSettings) {
        let Tls { ca_file, client, server_name } = self;
        own.cacertfile = ca_file.clone().or(own.cacertfile.take());
        own.client = client.clone().or(own.client.take());
        own.server_name = server_name.clone().or(own.server_name.take());
    }
}
