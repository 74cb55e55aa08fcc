//! Servers that stall, lie or talk nonsense before a connection is open: an error that says so, in the time that was given.

use crate::support::raw::{long, nested, short};
use bootstep::{Broker, Fault};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Long enough that a busy machine gets to what a server has to say.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A call overruns by a tenth of a second at the most; the rest is for a busy machine as well.
const LATEST: Duration = Duration::from_secs(10);

/// What the server side of one connection does; it ends with the connection.
type Script = fn(&mut Peer) -> std::io::Result<()>;

struct Peer(TcpStream);

impl Peer {
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    fn method(&mut self, class: u16, method: u16, arguments: &[u8]) -> std::io::Result<()> {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.send(&frame(1, &payload))
    }

    /// Reads the client's protocol header and answers as RabbitMQ would.
    fn start(&mut self) -> std::io::Result<()> {
        self.start_with(b"", b"PLAIN AMQPLAIN", b"en_US")
    }

    fn start_with(&mut self, properties: &[u8], mechanisms: &[u8], locales: &[u8]) -> std::io::Result<()> {
        self.0.read_exact(&mut [0; 8])?;
        self.method(10, 10, &[vec![0, 9], long(properties), long(mechanisms), long(locales)].concat())
    }

    fn read_frame(&mut self) -> std::io::Result<()> {
        let mut head = [0; 7];
        self.0.read_exact(&mut head)?;
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        self.0.read_exact(&mut vec![0; size as usize + 1])
    }

    fn tune(&mut self, channel_max: u16, frame_max: u32, heartbeat: u16) -> std::io::Result<()> {
        self.start()?;
        self.read_frame()?;
        let (channels, heartbeat) = (channel_max.to_be_bytes(), heartbeat.to_be_bytes());
        self.method(10, 30, &[&channels[..], &frame_max.to_be_bytes(), &heartbeat].concat())
    }

    /// All of the handshake.
    fn open(&mut self, channel_max: u16, frame_max: u32, heartbeat: u16) -> std::io::Result<()> {
        self.tune(channel_max, frame_max, heartbeat)?;
        self.read_frame()?;
        self.read_frame()?;
        self.method(10, 41, &short(b""))
    }

    /// Says nothing until the other side has gone.
    fn stall(&mut self) -> std::io::Result<()> {
        while self.0.read(&mut [0; 1024])? > 0 {}
        Ok(())
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0][..], &long(payload), &[0xce]].concat()
}

/// Connects to a server that runs this script on every connection.
fn connect_to(script: Script) -> (Result<bootstep::Connection, bootstep::Error>, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut peer = Peer(stream.unwrap());
            // However the script ends, the connection ends with it; in order, as what was not read would reset it.
            let _ = script(&mut peer);
            let _ = peer.0.shutdown(Shutdown::Write).and_then(|()| peer.stall());
        }
    });
    let url = format!("amqp://user:s3cret@127.0.0.1:{port}?connection_timeout={}", TIMEOUT.as_millis());
    let begin = Instant::now();
    (Broker::amqp(&url).unwrap().connect("hostile"), begin.elapsed())
}

/// A list of what was tried: the peer, the fault, and a part of what is said.
const TRIED: &[(&str, Script, Fault, &str)] = &[
    // It stalls.
    ("says nothing", |peer| peer.stall(), Fault::Timeout, "did not finish the handshake in time"),
    ("says nothing after the start", |peer| peer.start().and_then(|()| peer.stall()), Fault::Timeout, "in time"),
    ("says nothing after the tuning", |peer| peer.tune(0, 0, 60).and_then(|()| peer.stall()), Fault::Timeout, "in time"),
    ("stops within the head of a frame", |peer| peer.send(&[1, 0, 0]).and_then(|()| peer.stall()), Fault::Timeout, "in time"),
    (
        "stops within a frame",
        |peer| peer.send(&frame(1, &[0, 10, 0, 10, 0, 9])[..10]).and_then(|()| peer.stall()),
        Fault::Timeout,
        "in time",
    ),
    ("sends a byte now and then", |peer| drip(peer, &frame(1, &[0; 100])), Fault::Timeout, "in time"),
    ("sends nothing but heartbeats", |peer| drip(peer, &frame(8, &[]).repeat(1000)), Fault::Timeout, "in time"),
    // It hangs up.
    ("hangs up at once", |_| Ok(()), Fault::Unreachable, "closed the connection during the handshake"),
    ("hangs up within a frame", |peer| peer.send(&[1, 0, 0, 0, 0, 9, 9, 0, 10]), Fault::Unreachable, "closed the connection"),
    (
        "hangs up on the password",
        |peer| peer.start().and_then(|()| peer.read_frame()),
        Fault::AccessRefused,
        "was refused: check user name and password",
    ),
    (
        "closes with a reason that is not UTF-8",
        |peer| {
            peer.tune(0, 0, 60)?;
            peer.read_frame()?;
            peer.read_frame()?;
            peer.method(10, 50, &[vec![2, 18], short(b"NOT_ALLOWED - vhost caf\xc3"), vec![0, 10, 0, 40]].concat())?;
            peer.stall()
        },
        Fault::AccessRefused,
        "530 NOT_ALLOWED - vhost caf?",
    ),
    // It speaks something else.
    ("speaks HTTP", |peer| peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Fault::Unreachable, "it sent `HTTP/1.1 400 Bad"),
    ("speaks TLS", |peer| peer.send(b"\x15\x03\x01\0\x02\x02\x0a"), Fault::Config, "write `amqps://`"),
    ("speaks AMQP 1.0", |peer| peer.send(b"AMQP\0\x01\0\0"), Fault::Unreachable, "another version of AMQP"),
    ("sends zeros", |peer| peer.send(&[0; 4096]), Fault::Unreachable, "does not speak AMQP 0-9-1"),
    ("sends a frame of no kind", |peer| peer.send(&frame(4, &[1, 2, 3])), Fault::Unreachable, "does not speak AMQP 0-9-1"),
    (
        "sends a frame that does not end",
        |peer| peer.send(&[1, 0, 0, 0, 0, 0, 1, 5, 5]),
        Fault::Unreachable,
        "does not end where",
    ),
    ("sends a method of no class", |peer| peer.send(&frame(1, &[0, 99, 0, 99])), Fault::Unreachable, "99.99 on 0"),
    ("sends a method cut short", |peer| peer.send(&frame(1, &[0, 10, 0, 10, 0])), Fault::Unreachable, "malformed"),
    ("sends a message first", |peer| peer.send(&frame(2, &[0; 14])), Fault::Unreachable, "did not answer as a broker"),
    (
        "starts a thousand times",
        |peer| {
            (0..1000).try_for_each(|_| peer.method(10, 10, &[vec![0, 9], long(b""), long(b"PLAIN"), long(b"en_US")].concat()))
        },
        Fault::Unreachable,
        "unexpected frame",
    ),
    // It announces what cannot be.
    ("announces a frame of 4 GiB", |peer| peer.send(&[1, 0, 0, 255, 255, 255, 255, 0]), Fault::Unreachable, "4294967295 bytes"),
    (
        "describes itself without end",
        |peer| peer.start_with(&nested(20_000), b"PLAIN", b"en_US").and_then(|()| peer.stall()),
        Fault::Unreachable,
        "properties of the server that are nested too deep",
    ),
    (
        "knows no password",
        |peer| peer.start_with(b"", b"EXTERNAL", b"en_US").and_then(|()| peer.stall()),
        Fault::Config,
        "EXTERNAL",
    ),
    (
        "speaks another locale",
        |peer| peer.start_with(b"", b"PLAIN", b"tlh").and_then(|()| peer.stall()),
        Fault::Unreachable,
        "did not answer as a broker",
    ),
    (
        "challenges",
        |peer| {
            peer.start()?;
            peer.read_frame()?;
            peer.method(10, 20, &long(b"riddle"))?;
            peer.stall()
        },
        Fault::AccessRefused,
        "was refused",
    ),
    ("wants frames of a byte", |peer| peer.tune(0, 1, 60).and_then(|()| peer.stall()), Fault::Config, "frame"),
];

fn drip(peer: &mut Peer, bytes: &[u8]) -> std::io::Result<()> {
    peer.0.set_read_timeout(Some(Duration::from_millis(50)))?;
    for byte in bytes {
        peer.send(&[*byte])?;
        // Waits, and notices that the other side has gone.
        match peer.0.read(&mut [0; 100]) {
            Ok(0) => return Ok(()),
            _ => continue,
        }
    }
    Ok(())
}

#[test]
fn every_hostile_handshake_ends_in_an_error_that_says_what_happened() {
    let tried = TRIED.iter().map(|&(name, script, fault, says)| {
        // Side by side: most of them wait for nothing but the time to be up.
        let attempt = std::thread::spawn(move || connect_to(script));
        (name, fault, says, attempt)
    });
    let mut wrong = Vec::new();
    for (name, fault, says, attempt) in tried.collect::<Vec<_>>() {
        let (connected, took) = attempt.join().unwrap();
        match connected {
            Ok(_) => wrong.push(format!("a server that {name}: connected")),
            Err(err) => {
                let text = err.to_string();
                if err.fault() != fault || !text.contains(says) || text.contains("s3cret") || took > LATEST {
                    wrong.push(format!("a server that {name}: {err:?} after {took:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_of_absurd_limits_is_taken_as_far_as_is_sensible() {
    let (connected, _) = connect_to(|peer| peer.open(u16::MAX, u32::MAX, u16::MAX).and_then(|()| peer.stall()));
    connected.unwrap().close(TIMEOUT);

    let (connected, _) = connect_to(|peer| {
        peer.open(1, 4096, 0)?;
        // channel.open, and an answer for the one channel there is.
        peer.read_frame()?;
        peer.send(&[&[1, 0, 1][..], &long(&[&[0, 20, 0, 11][..], &long(b"")].concat()), &[0xce]].concat())?;
        peer.stall()
    });
    let connection = connected.unwrap();
    // The one channel is in use for as long as the confirm is awaited; then there is none for this.
    let err = connection.publish(&[bootstep::Publication::new("", "q", "x")], TIMEOUT).unwrap_err();
    assert!(err.is_transient(), "{err}");
    connection.close(TIMEOUT);
}
