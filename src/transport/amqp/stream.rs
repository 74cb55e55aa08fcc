//! What lies under amiquip and the screen before it: a socket of ours, plain or with TLS over it.

use super::address::Address;
#[cfg(feature = "tls")]
use super::tls;
use crate::error::Error;
use mio::net::TcpStream;
use mio::{Evented, Poll, PollOpt, Ready, Token};
use std::io::{self, Read, Write};

/// What is going to be spoken over a socket: prepared before there is one, so that a wrong setting is told even while the broker
/// is away.
pub(super) enum Speech {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tls::Client),
}

impl Speech {
    /// What the address asks for.
    pub fn with(address: &Address) -> Result<Self, Error> {
        match &address.settings.tls {
            None => Ok(Speech::Plain),
            #[cfg(feature = "tls")]
            Some(settings) => tls::Client::new(settings, &address.host).map(Speech::Tls),
            #[cfg(not(feature = "tls"))]
            Some(_) => Err(super::settings::tls_is_missing()),
        }
    }

    /// Shakes hands where that is called for, blocking: whoever calls sets a deadline over the socket.
    pub fn begin(self, socket: std::net::TcpStream) -> io::Result<Stream> {
        Ok(match self {
            Speech::Plain => Stream::Plain(TcpStream::from_stream(socket)?),
            #[cfg(feature = "tls")]
            Speech::Tls(client) => Stream::Tls(Box::new(client.shake_hands(socket)?)),
        })
    }
}

/// Registered with an edge-triggered poll, it keeps that promise whatever lies between: [`WouldBlock`](io::ErrorKind::WouldBlock)
/// comes only from the socket.
pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tls::Stream>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.socket(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Evented for Stream {
    fn register(&self, poll: &Poll, token: Token, interest: Ready, options: PollOpt) -> io::Result<()> {
        self.socket().register(poll, token, interest, options)
    }

    fn reregister(&self, poll: &Poll, token: Token, interest: Ready, options: PollOpt) -> io::Result<()> {
        self.socket().reregister(poll, token, interest, options)
    }

    fn deregister(&self, poll: &Poll) -> io::Result<()> {
        self.socket().deregister(poll)
    }
}
