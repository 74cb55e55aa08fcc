//! An open TLS connection that fits an edge-triggered loop: it never keeps to itself what it said was written, nor what could be
//! read.
//!
//! It knows nothing of the rest, so that its tests, which need certificates, can include it where those are made.

use rustls::ClientConnection;
use std::io::{self, BufReader, Read, Write};

/// Some records at a time: rustls alone would ask the socket for 4 KiB.
const READ_BUFFER: usize = 64 * 1024;

/// An open TLS connection over a socket that does not block.
///
/// Whoever writes must, after [`WouldBlock`](io::ErrorKind::WouldBlock), write the same bytes again, and may write more behind
/// them: some are encrypted by then, and cannot be taken back. amiquip does.
pub struct Stream<S: Read + Write> {
    session: ClientConnection,
    socket: BufReader<S>,
    /// How many of the bytes to be written next are encrypted already, and not all in the socket.
    encrypted: usize,
}

impl<S: Read + Write> Stream<S> {
    /// The session has shaken hands.
    pub fn over(socket: S, session: ClientConnection) -> Self {
        Stream { session, socket: BufReader::with_capacity(READ_BUFFER, socket), encrypted: 0 }
    }

    pub fn socket(&self) -> &S {
        self.socket.get_ref()
    }

    /// Sends all that is encrypted.
    fn flush_session(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(self.socket.get_mut()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Err(err),
                Err(err) => return Err(self.last_word().unwrap_or(err)),
            }
        }
        Ok(())
    }

    /// Reads from the socket once, and decrypts. Zero is its end.
    fn receive(&mut self) -> io::Result<usize> {
        let length = self.session.read_tls(&mut self.socket)?;
        if let Err(err) = self.session.process_new_packets() {
            // rustls has an alert for the peer; if it does not get away, the error here is told all the same.
            let _ = self.session.write_tls(self.socket.get_mut());
            return Err(io::Error::new(io::ErrorKind::InvalidData, err));
        }
        Ok(length)
    }

    /// Whoever closes a connection may have said why, and that tells more than that writing has failed.
    fn last_word(&mut self) -> Option<io::Error> {
        loop {
            match self.receive() {
                Ok(0) => return None,
                Ok(_) => {}
                Err(err) => return Some(err).filter(|err| err.kind() == io::ErrorKind::InvalidData),
            }
        }
    }
}

impl<S: Read + Write> Read for Stream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                // Nothing is decrypted that has not been read.
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                // The end without a goodbye; frames have a length, so nothing that was cut off is taken for whole.
                Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            match self.receive() {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
                Ok(_) => {}
            }
        }
    }
}

impl<S: Read + Write> Write for Stream<S> {
    /// Never says that bytes are written before all of their ciphertext is in the socket: amiquip stops asking whether it can write
    /// when it has nothing left, and the rest would stay here.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // First what is left, so that there is room to encrypt into.
        self.flush_session()?;
        if self.encrypted == 0 {
            self.encrypted = self.session.writer().write(bytes)?;
            self.flush_session()?;
        }
        debug_assert!(self.encrypted <= bytes.len(), "what would have blocked is written again");
        Ok(std::mem::take(&mut self.encrypted))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Read + Write> Drop for Stream<S> {
    fn drop(&mut self) {
        self.session.send_close_notify();
        // A courtesy: AMQP has said goodbye before, or there is nobody left to hear it.
        let _ = self.session.write_tls(self.socket.get_mut());
    }
}
