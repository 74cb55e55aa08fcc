//! The stream between socket and amiquip: every frame is looked at before amiquip reads it, because amiquip drops the
//! connection over a text that is not UTF-8, loses headers without a word, and believes any length it is told.
//!
//! [`screen`] knows frames and holds back what is not whole, `methods` and `header` know what stands in them, `fields` and
//! `table` know AMQP's types, `flaws` remembers which deliveries were mended.

mod fields;
mod flaws;
mod header;
mod methods;
mod screen;
mod table;

pub(super) use flaws::Seen;

use mio::{Evented, Poll, PollOpt, Ready, Token};
use screen::Screen;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// A stream that amiquip can take at its word.
pub(super) struct Screened<S> {
    stream: S,
    screen: Screen,
}

impl<S> Screened<S> {
    /// `frame_max` is the largest frame that this end agrees to.
    pub fn new(stream: S, frame_max: u32) -> Self {
        Screened { stream, screen: Screen::new(frame_max) }
    }

    /// What was seen on this stream, for whoever reads deliveries; it outlives the stream.
    pub fn seen(&self) -> Arc<Seen> {
        self.screen.seen()
    }
}

impl<S: Read> Read for Screened<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.screen.read(&mut self.stream, into)
    }
}

impl<S: Write> Write for Screened<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<S: Evented> Evented for Screened<S> {
    fn register(&self, poll: &Poll, token: Token, interest: Ready, options: PollOpt) -> io::Result<()> {
        self.stream.register(poll, token, interest, options)
    }

    fn reregister(&self, poll: &Poll, token: Token, interest: Ready, options: PollOpt) -> io::Result<()> {
        self.stream.reregister(poll, token, interest, options)
    }

    fn deregister(&self, poll: &Poll) -> io::Result<()> {
        self.stream.deregister(poll)
    }
}

impl<S: Read + Write + Evented + Send + 'static> amiquip::IoStream for Screened<S> {}

#[cfg(test)]
mod tests;
