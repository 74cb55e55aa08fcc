//! A small HTTP server on one thread, in which nobody can hold up another: for the few requests of a health check.

use bootstep::{Error, Fault};
use crossbeam_channel::Receiver;
use httparse::{Request, Status};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Poll, PollOpt, Ready, Registration, SetReadiness, Token};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// From the first byte to the last, for each who asks.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who asks has no more to say than this.
const REQUEST_BYTES: usize = 8 << 10;
const HEADERS: usize = 64;
/// More than this behind the request, and the connection is closed on it.
const IGNORED_BYTES: usize = 256 << 10;
/// At once; one more, and the oldest goes: an honest request takes no time.
const CLIENTS: usize = 64;
/// Between attempts to accept, while the system has nothing left to accept with.
const EXHAUSTED: Duration = Duration::from_millis(100);

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
const FIRST_CLIENT: usize = 2;

/// What is answered to a request.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: serde_json::Value,
}

/// A server that answers GET and HEAD until it is dropped.
pub struct HealthServer {
    address: SocketAddr,
    stop: SetReadiness,
    ended: Receiver<()>,
}

impl HealthServer {
    /// This listens, and answers each path as `answer` says, on a thread of its own.
    ///
    /// # Errors
    /// [`Fault::Step`] when another program listens there, and [`Fault::Config`] when nobody can; the error names address and port.
    pub fn start(address: &str, port: u16, answer: impl Fn(&str) -> Answer + Send + 'static) -> Result<Self, Error> {
        let failed = |err: io::Error| {
            // Right as a setting, and free again when the other program ends.
            let fault = if err.kind() == ErrorKind::AddrInUse { Fault::Step } else { Fault::Config };
            Error::new(fault, format!("health cannot be served at `{address}`, port {port}")).because(err)
        };
        let listener = std::net::TcpListener::bind((address, port)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (told, stop) = Registration::new2();
        let (alive, ended) = crossbeam_channel::bounded::<()>(0);
        let server = Serving::new(listener, told, answer).map_err(failed)?;
        let run = move || {
            let _alive = alive;
            server.run();
        };
        std::thread::Builder::new().name("bootstep-health".into()).spawn(run).map_err(failed)?;
        Ok(HealthServer { address, stop, ended })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        if self.stop.set_readiness(Ready::readable()).is_ok() {
            // It never waits for long, and its port is free again when it has ended.
            let _ = self.ended.recv_timeout(Duration::from_secs(1));
        }
    }
}

struct Serving<A> {
    poll: Poll,
    listener: TcpListener,
    /// Tells of the end by being ready.
    _told: Registration,
    answer: A,
    /// By age, the oldest first.
    clients: BTreeMap<usize, Client>,
    next: usize,
}

struct Client {
    stream: TcpStream,
    got: Vec<u8>,
    /// Empty until the request is whole.
    reply: Vec<u8>,
    written: usize,
    /// What came behind the request, in bytes.
    ignored: usize,
    due: Instant,
}

/// Whether a client stays.
enum Stays {
    Yes,
    No,
}

impl<A: Fn(&str) -> Answer> Serving<A> {
    fn new(listener: std::net::TcpListener, told: Registration, answer: A) -> io::Result<Self> {
        let (poll, listener) = (Poll::new()?, TcpListener::from_std(listener)?);
        poll.register(&listener, LISTENER, Ready::readable(), PollOpt::level())?;
        poll.register(&told, STOP, Ready::readable(), PollOpt::level())?;
        Ok(Serving { poll, listener, _told: told, answer, clients: BTreeMap::new(), next: FIRST_CLIENT })
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(CLIENTS + FIRST_CLIENT);
        loop {
            let due = self.clients.values().map(|client| client.due).min();
            let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, wait) {
                Ok(_) => {}
                Err(err) if err.kind() == ErrorKind::Interrupted => continue,
                Err(err) => return log::error!("health is not served any more: {err}"),
            }
            for event in &events {
                match event.token() {
                    STOP => return,
                    LISTENER => self.accept(),
                    Token(client) => self.attend(client),
                }
            }
            let now = Instant::now();
            self.clients.retain(|_, client| client.due > now);
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream),
                Err(err) if err.kind() == ErrorKind::WouldBlock => return,
                Err(err) if matches!(err.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(err) => {
                    log::warn!("a health check could not be accepted: {err}");
                    // What is waiting is waiting still: without a pause this would turn as fast as it can.
                    let _ = crossbeam_channel::never::<()>().recv_timeout(EXHAUSTED);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream) {
        if self.clients.len() >= CLIENTS {
            self.clients.pop_first();
        }
        let client = self.next;
        self.next += 1;
        let all = Ready::readable() | Ready::writable();
        // Level for reading would do; for writing it would wake us for as long as there is nothing to write.
        if self.poll.register(&stream, Token(client), all, PollOpt::edge()).is_ok() {
            let due = Instant::now() + PATIENCE;
            self.clients.insert(client, Client { stream, got: Vec::new(), reply: Vec::new(), written: 0, ignored: 0, due });
        }
    }

    fn attend(&mut self, token: usize) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        if let Stays::No = client.go_on(&self.answer) {
            self.clients.remove(&token);
        }
    }
}

impl Client {
    /// Reads and writes until the socket has no more or takes no more.
    fn go_on(&mut self, answer: &impl Fn(&str) -> Answer) -> Stays {
        let mut buffer = [0; 4096];
        loop {
            if self.write().is_err() {
                return Stays::No;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Stays::No,
                // What comes behind the request is read and let go, since closing before would take the reply back; but not for ever.
                Ok(bytes) if !self.reply.is_empty() && self.ignored < IGNORED_BYTES => self.ignored += bytes,
                Ok(_) if !self.reply.is_empty() => return Stays::No,
                Ok(bytes) => {
                    self.got.extend_from_slice(&buffer[..bytes]);
                    self.reply = reply_to(&self.got, answer).unwrap_or_default();
                }
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Stays::Yes,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Stays::No,
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while self.written < self.reply.len() {
            match self.stream.write(&self.reply[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
            if self.written == self.reply.len() {
                self.stream.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }
}

/// The reply, once there is enough of the request to know it.
fn reply_to(got: &[u8], answer: &impl Fn(&str) -> Answer) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(got) {
        Ok(Status::Complete(_)) => {
            let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
            let path = target.split('?').next().unwrap_or_default();
            Some(match method {
                "GET" => written(&answer(path), true),
                "HEAD" => written(&answer(path), false),
                _ => refused(405, "only GET and HEAD are answered"),
            })
        }
        Ok(Status::Partial) if got.len() < REQUEST_BYTES => None,
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => Some(refused(431, "the request is too large")),
        Err(_) => Some(refused(400, "this is no HTTP request")),
    }
}

fn refused(status: u16, error: &str) -> Vec<u8> {
    written(&Answer { status, body: serde_json::json!({ "error": error }) }, true)
}

fn written(answer: &Answer, has_body: bool) -> Vec<u8> {
    let reason = match answer.status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "",
    };
    let body = format!("{}\n", answer.body);
    let allow = if answer.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         {allow}Connection: close\r\n\r\n",
        answer.status,
        body.len()
    );
    let body = if has_body { body } else { String::new() };
    [head, body].concat().into_bytes()
}
