//! A publisher that sends bytes no client library would: what is on the wire is what the test says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(10);

/// A connection with one channel open, in confirm mode.
pub struct RawPublisher {
    stream: TcpStream,
}

/// The properties of a message, flags first, as they go over the wire.
pub struct RawProperties<'a> {
    pub flags: u16,
    pub list: &'a [u8],
}

impl RawPublisher {
    pub fn connect(url: &str) -> RawPublisher {
        let url = Url::parse(url).unwrap();
        let stream = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap_or(5672))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut raw = RawPublisher { stream };
        let vhost = percent_encoding::percent_decode_str(url.path().trim_start_matches('/')).collect::<Vec<u8>>();
        let password = url.password().unwrap_or("guest");
        let response = [b"\0", url.username().as_bytes(), b"\0", password.as_bytes()].concat();

        raw.stream.write_all(b"AMQP\0\0\x09\x01").unwrap();
        raw.expect(10, 10);
        raw.method(0, 10, 11, &[vec![0, 0, 0, 0], short(b"PLAIN"), long(&response), short(b"en_US")].concat());
        raw.expect(10, 30);
        // 2047 channels, 128 KiB a frame, no heartbeat.
        raw.method(0, 10, 31, &[7, 255, 0, 2, 0, 0, 0, 0]);
        raw.method(0, 10, 40, &[short(&vhost), vec![0, 0]].concat());
        raw.expect(10, 41);
        raw.method(1, 20, 10, &[0]);
        raw.expect(20, 11);
        raw.method(1, 85, 10, &[0]);
        raw.expect(85, 11);
        raw
    }

    /// Publishes, and waits for the confirm; `Err` is the broker's last word.
    pub fn publish(&mut self, exchange: &[u8], key: &[u8], properties: &RawProperties<'_>, body: &[u8]) -> Result<(), String> {
        self.method(1, 60, 40, &[vec![0, 0], short(exchange), short(key), vec![0]].concat());
        let size = (body.len() as u64).to_be_bytes();
        self.frame(2, 1, &[&[0, 60, 0, 0][..], &size, &properties.flags.to_be_bytes(), properties.list].concat());
        self.frame(3, 1, body);
        match self.next_method() {
            (60, 80, _) => Ok(()),
            (class, method, rest) => Err(format!("{class}.{method}: {}", String::from_utf8_lossy(&rest))),
        }
    }

    fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        self.frame(1, channel, &[&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat());
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let (channel, size) = (channel.to_be_bytes(), (payload.len() as u32).to_be_bytes());
        self.stream.write_all(&[&[kind][..], &channel, &size, payload, &[0xce]].concat()).unwrap();
    }

    #[track_caller]
    fn expect(&mut self, class: u16, method: u16) {
        let (got_class, got_method, rest) = self.next_method();
        assert_eq!((got_class, got_method), (class, method), "{}", String::from_utf8_lossy(&rest));
    }

    #[track_caller]
    fn next_method(&mut self) -> (u16, u16, Vec<u8>) {
        let mut head = [0; 7];
        self.stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; u32::from_be_bytes(head[3..].try_into().unwrap()) as usize + 1];
        self.stream.read_exact(&mut payload).unwrap();
        let number = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
        (number(0), number(2), payload[4..].to_vec())
    }
}

pub fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

pub fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// A header with so many arrays in one another.
pub fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = short(b"deep");
    for level in 0..depth {
        bytes.push(b'A');
        bytes.extend(u32::try_from((depth - level - 1) * 5).unwrap().to_be_bytes());
    }
    bytes
}
