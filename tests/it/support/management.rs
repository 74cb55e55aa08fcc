//! The few requests to RabbitMQ's management API that make a virtual host on a broker which is not ours, in plain HTTP/1.1.

use std::env;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(10);

/// The management API beside the broker that `AMQP_URL` names.
#[derive(Debug)]
pub struct Management {
    url: Url,
    user: String,
    password: String,
}

impl Management {
    /// The API at `BOOTSTEP_MANAGEMENT_URL`, which defaults to port 15672 of the broker's host with the broker URL's credentials.
    pub fn beside(broker: &Url) -> Management {
        let host = broker.host_str().unwrap_or("localhost");
        let text = env::var("BOOTSTEP_MANAGEMENT_URL").unwrap_or_else(|_| format!("http://{host}:15672"));
        let url = Url::parse(&text).unwrap_or_else(|err| panic!("BOOTSTEP_MANAGEMENT_URL is not a URL: {err}"));
        let named = if url.username().is_empty() { broker } else { &url };
        let user = Some(decoded(named.username())).filter(|user| !user.is_empty());
        let password = named.password().map(decoded);
        Management {
            url: url.clone(),
            user: user.unwrap_or_else(|| "guest".to_owned()),
            password: password.unwrap_or_else(|| "guest".to_owned()),
        }
    }

    /// This makes a virtual host in which `user` may do everything.
    pub fn add_vhost(&self, name: &str, user: &str) {
        self.expect_success("PUT", &format!("/api/vhosts/{name}"), "{}");
        let user = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
        let everything = r#"{"configure":".*","write":".*","read":".*"}"#;
        self.expect_success("PUT", &format!("/api/permissions/{name}/{user}"), everything);
    }

    /// This deletes a virtual host, and says what went wrong if it could not.
    pub fn delete_vhost(&self, name: &str) -> Result<(), String> {
        match self.request("DELETE", &format!("/api/vhosts/{name}"), "") {
            Ok(200..=299) => Ok(()),
            Ok(status) => Err(format!("HTTP status {status}")),
            Err(err) => Err(err.to_string()),
        }
    }

    fn expect_success(&self, method: &str, path: &str, body: &str) {
        let place = format!("{}:{}", self.host(), self.port());
        let advice = "AMQP_URL is set, so the tests make a virtual host there through the management API; \
                      set BOOTSTEP_MANAGEMENT_URL to it, or unset AMQP_URL to use a private node";
        match self.request(method, path, body) {
            Ok(200..=299) => {}
            Ok(status) => panic!("{method} {path} on {place} got HTTP status {status}. {advice}"),
            Err(err) => panic!("{method} {path} on {place} failed: {err}. {advice}"),
        }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> io::Result<u16> {
        let unresolved = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        let address = (self.host(), self.port()).to_socket_addrs()?.next().ok_or_else(unresolved)?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (host, authorization) = (self.host(), base64(format!("{}:{}", self.user, self.password).as_bytes()));
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {authorization}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer)?;
        status(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or("localhost")
    }

    fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(15672)
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0usize, |bits, index| bits << 8 | chunk.get(index).map_or(0, |byte| usize::from(*byte)));
        for index in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * index) & 63]);
            text.push(if index <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[test]
fn credentials_are_written_as_the_specification_of_base64_says() {
    // RFC 4648, section 10.
    for (bytes, text) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
    {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
}
