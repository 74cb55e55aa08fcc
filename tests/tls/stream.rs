//! The stream between amiquip and a socket, over a socket that takes and gives as little as it is told to.

use crate::authority::Authority;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

#[path = "../../src/transport/amqp/tls/stream.rs"]
#[allow(dead_code)]
mod as_it_is;

/// Both ways through a socket, and how many bytes it still takes and gives.
#[derive(Default)]
struct Wire {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    takes: usize,
    gives: usize,
    /// Whether the last read would have blocked: only then does an edge-triggered poll tell of more.
    is_drained: bool,
    has_ended: bool,
}

#[derive(Clone, Default)]
struct Socket(Rc<RefCell<Wire>>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let length = buffer.len().min(wire.gives).min(wire.to_client.len());
        wire.is_drained = length == 0;
        if length == 0 && !(wire.has_ended && wire.to_client.is_empty()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.gives -= length;
        wire.to_client.drain(..length).zip(buffer).for_each(|(byte, place)| *place = byte);
        Ok(length)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let length = bytes.len().min(wire.takes);
        if length == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.takes -= length;
        wire.to_server.extend(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The stream, its socket, and the server at the other end.
struct Pair {
    stream: as_it_is::Stream<Socket>,
    socket: Socket,
    server: ServerConnection,
}

impl Pair {
    fn speaking(version: &'static SupportedProtocolVersion) -> Pair {
        let authority = Authority::named("authority");
        let identity = authority.signs("a broker", &["localhost"]);
        let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let server = server.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            pass(&mut client, &mut server);
            pass(&mut server, &mut client);
        }
        let socket = Socket::default();
        Pair { stream: as_it_is::Stream::over(socket.clone(), client), socket, server }
    }

    /// What the server has received and can decrypt.
    fn received(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        let bytes: Vec<u8> = self.socket.0.borrow_mut().to_server.drain(..).collect();
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            self.server.read_tls(&mut bytes).unwrap();
            self.server.process_new_packets().unwrap();
            read_all(&mut self.server.reader(), &mut received);
        }
        received
    }

    fn send(&mut self, bytes: &[u8]) {
        self.server.writer().write_all(bytes).unwrap();
        self.send_what_waits();
    }

    fn send_what_waits(&mut self) {
        let mut sent = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut sent).unwrap();
        }
        self.socket.0.borrow_mut().to_client.extend(sent);
    }
}

fn pass<A, B, C, D>(from: &mut A, to: &mut B)
where
    A: std::ops::DerefMut<Target = rustls::ConnectionCommon<C>>,
    B: std::ops::DerefMut<Target = rustls::ConnectionCommon<D>>,
    C: rustls::SideData,
    D: rustls::SideData,
{
    let mut sent = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut sent).unwrap();
    }
    let mut sent = &sent[..];
    while !sent.is_empty() {
        to.read_tls(&mut sent).unwrap();
        to.process_new_packets().unwrap();
    }
}

/// Reads until nothing more is there at the moment; answers whether that is because nothing will be any more.
fn read_all(from: &mut impl Read, into: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 3_000];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return true,
            Ok(length) => into.extend(&buffer[..length]),
            Err(err) if err.kind() == ErrorKind::WouldBlock => return false,
            Err(err) => panic!("{err}"),
        }
    }
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

#[test]
fn what_is_said_to_be_written_is_all_in_the_socket() {
    for version in VERSIONS {
        for takes in [1, 100, 5_000, 16_406, 65_536, 70_001, 1_000_000] {
            let mut pair = Pair::speaking(version);
            let (all, mut written, mut received) = (body(200_000), 0, Vec::new());
            let mut rounds = 0;
            while written < all.len() {
                rounds += 1;
                assert!(rounds < 500_000, "{takes}: {written}");
                // As much as amiquip has by then: never less than before, and more each time.
                let end = all.len().min(written + 90_000 + takes);
                match pair.stream.write(&all[written..end]) {
                    Ok(length) => written += length,
                    Err(err) if err.kind() == ErrorKind::WouldBlock => pair.socket.0.borrow_mut().takes = takes,
                    Err(err) => panic!("{err}"),
                }
                received.extend(pair.received());
                assert!(received.len() >= written, "{takes}: {} of {written}", received.len());
            }
            assert!(received == all, "{takes}");
        }
    }
}

#[test]
fn what_can_be_read_is_read_before_it_is_said_that_nothing_is_there() {
    for version in VERSIONS {
        for gives in [1, 100, 5_000, 16_406, 65_536, 70_001, 1_000_000] {
            let mut pair = Pair::speaking(version);
            let (all, mut received) = (body(200_000), Vec::new());
            for part in all.chunks(50_000) {
                pair.send(part);
            }
            let mut rounds = 0;
            while received.len() < all.len() {
                pair.socket.0.borrow_mut().gives = gives;
                assert!(!read_all(&mut pair.stream, &mut received));
                assert!(pair.socket.0.borrow().is_drained, "{gives}: an edge-triggered poll would not tell of the rest");
                rounds += 1;
                assert!(rounds < 300_000, "{gives}: {}", received.len());
            }
            assert!(received == all, "{gives}");
        }
    }
}

#[test]
fn new_keys_in_the_middle_change_nothing() {
    let mut pair = Pair::speaking(&rustls::version::TLS13);
    (pair.socket.0.borrow_mut().takes, pair.socket.0.borrow_mut().gives) = (usize::MAX, usize::MAX);
    let mut received = Vec::new();
    for round in 0..5 {
        pair.send(b"before");
        // It asks the client for new keys as well.
        pair.server.refresh_traffic_keys().unwrap();
        pair.send(b"after");
        assert!(!read_all(&mut pair.stream, &mut received));
        assert_eq!(received.len(), (round + 1) * "beforeafter".len());
        assert_eq!(pair.stream.write(b"answer").unwrap(), 6);
        assert_eq!(pair.received(), b"answer");
    }
}

#[test]
fn an_end_is_an_end_with_or_without_a_goodbye() {
    for says_goodbye in [true, false] {
        let mut pair = Pair::speaking(&rustls::version::TLS13);
        pair.socket.0.borrow_mut().gives = usize::MAX;
        pair.send(b"the last words");
        if says_goodbye {
            pair.server.send_close_notify();
            pair.send_what_waits();
        }
        pair.socket.0.borrow_mut().has_ended = !says_goodbye;
        let mut received = Vec::new();
        assert!(read_all(&mut pair.stream, &mut received));
        assert_eq!(received, b"the last words");
    }
}

#[test]
fn bytes_that_somebody_else_put_in_are_an_error() {
    let mut pair = Pair::speaking(&rustls::version::TLS13);
    pair.socket.0.borrow_mut().gives = usize::MAX;
    pair.send(b"a message");
    *pair.socket.0.borrow_mut().to_client.back_mut().unwrap() ^= 1;
    let err = pair.stream.read(&mut [0; 100]).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::InvalidData);
    assert!(err.get_ref().unwrap().is::<rustls::Error>());
}

#[test]
fn who_hangs_up_says_goodbye() {
    let mut pair = Pair::speaking(&rustls::version::TLS12);
    pair.socket.0.borrow_mut().takes = usize::MAX;
    let (socket, server) = (pair.socket.clone(), &mut pair.server);
    drop(pair.stream);
    let bytes: Vec<u8> = socket.0.borrow_mut().to_server.drain(..).collect();
    server.read_tls(&mut &bytes[..]).unwrap();
    assert!(server.process_new_packets().unwrap().peer_has_closed());
}
