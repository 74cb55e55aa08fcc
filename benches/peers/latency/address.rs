//! Where a broker is and as whom to log in: the parts of its URL, for those who have no library for that.

use std::fmt;

/// What `amqp://user:password@host:port/virtual-host` says.
#[derive(Clone, Debug)]
pub struct Address {
    pub user: String,
    pub password: String,
    pub host: String,
    pub port: u16,
    pub virtual_host: String,
}

impl Address {
    /// # Panics
    ///
    /// Where the URL leaves something out that this suite needs.
    pub fn of(url: &str) -> Address {
        Address::parse(url).expect("the broker's URL has a user, a password, a host, a port and a virtual host")
    }

    fn parse(url: &str) -> Option<Address> {
        let (login, place) = url.strip_prefix("amqp://")?.split_once('@')?;
        let (user, password) = login.split_once(':')?;
        let (host_and_port, virtual_host) = place.split_once('/')?;
        let (host, port) = host_and_port.rsplit_once(':')?;
        let virtual_host = if virtual_host.is_empty() { "/" } else { virtual_host };
        Some(Address {
            user: user.to_owned(),
            password: password.to_owned(),
            host: host.to_owned(),
            port: port.parse().ok()?,
            virtual_host: virtual_host.replace("%2f", "/").replace("%2F", "/"),
        })
    }

    /// The same broker behind something that listens here.
    pub fn behind(&self, port: u16) -> Address {
        Address { host: "127.0.0.1".into(), port, ..self.clone() }
    }

    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { user, password, host, port, virtual_host } = self;
        write!(f, "amqp://{user}:{password}@{host}:{port}/{}", virtual_host.replace('/', "%2f"))
    }
}
