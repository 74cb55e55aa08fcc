//! TLS by rustls: whom to trust and to meet, and the handshake, while the socket still blocks.

mod certificates;
mod refusal;
mod stream;

pub(super) use refusal::refusal;

use super::settings::TlsSettings;
use crate::error::{Error, Fault};
use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io;
use std::sync::Arc;

pub(super) type Stream = stream::Stream<TcpStream>;

/// Whom we trust, who we are, and whom we want to meet.
pub(super) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// The files are read each time, so that a renewed certificate counts from the next connection on.
    pub fn new(settings: &TlsSettings, host: &str) -> Result<Self, Error> {
        // What follows a `%` says by which interface an address is reached, and is in no certificate.
        let name = settings.server_name.as_deref().or(host.split('%').next()).unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            let what = format!("`{name}` can be in no certificate; name what is there with `server_name_indication`");
            Error::new(Fault::Config, what)
        })?;
        Ok(Client { config: Arc::new(certificates::config(settings)?), name })
    }

    /// Over a socket that blocks, and that somebody else shuts when this takes too long.
    pub fn shake_hands(self, mut socket: std::net::TcpStream) -> io::Result<Stream> {
        let mut session = ClientConnection::new(self.config, self.name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Stream::over(TcpStream::from_stream(socket)?, session))
    }
}
