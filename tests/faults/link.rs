//! One connection through the proxy: two directions, each of which can be held, stalled in the middle of a frame, or slowed.

use crate::wire::{self, Head, Tracker};
use socket2::SockRef;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::support::pass;

/// How a direction carries bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Through,
    /// Nothing arrives; what is sent is kept, as a network does whose packets get lost.
    Silent,
    /// The next frame arrives in part.
    Stalled,
    /// So many bytes a second.
    Slow(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToBroker,
    ToWorker,
}

/// How soon a direction notices that something has changed.
const TICK: Duration = Duration::from_millis(20);

/// What is done when the broker's next confirm is seen.
pub type AtConfirm = Box<dyn FnOnce() + Send>;

/// A connection, for as long as one of its two threads runs.
pub struct Link {
    client: TcpStream,
    broker: TcpStream,
    ended: AtomicBool,
    state: Mutex<State>,
}

struct State {
    to_broker: Flow,
    to_worker: Flow,
    /// Channels that the worker has opened and nobody has closed.
    channels: BTreeSet<u16>,
    consumes: bool,
    publishes: bool,
    /// Frames of ours for the broker, sent where no frame of the worker is cut in two.
    injected: Vec<Vec<u8>>,
}

impl Link {
    pub fn new(client: TcpStream, broker: TcpStream, flows: (Flow, Flow)) -> io::Result<Link> {
        for stream in [&client, &broker] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TICK))?;
            // A broker that is frozen does not read: a writer must not wait for it for ever.
            stream.set_write_timeout(Some(TICK))?;
        }
        let state = State {
            to_broker: flows.0,
            to_worker: flows.1,
            channels: BTreeSet::new(),
            consumes: false,
            publishes: false,
            injected: Vec::new(),
        };
        Ok(Link { client, broker, ended: AtomicBool::new(false), state: Mutex::new(state) })
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub fn is_consuming(&self) -> bool {
        self.with(|state| state.consumes)
    }

    pub fn is_publishing(&self) -> bool {
        self.with(|state| state.publishes)
    }

    pub fn set(&self, direction: Direction, flow: Flow) {
        self.with(|state| *state.flow(direction) = flow);
    }

    /// This has the broker close one channel, if there is one.
    pub fn close_a_channel(&self, rng: &mut fastrand::Rng) -> bool {
        self.with(|state| {
            let channels: Vec<u16> = state.channels.iter().copied().collect();
            let Some(channel) = rng.choice(channels) else { return false };
            state.injected.push(wire::ack_of_nothing(channel));
            true
        })
    }

    /// Both ends see a reset, as after a crash of the other's machine.
    pub fn reset(&self) {
        for stream in [&self.client, &self.broker] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        self.ended.store(true, Ordering::Release);
    }

    /// Carries one direction until either end is gone.
    pub fn carry(&self, direction: Direction, at_confirm: &Mutex<Option<AtConfirm>>) {
        let (mut from, mut to) = match direction {
            Direction::ToBroker => (&self.client, &self.broker),
            Direction::ToWorker => (&self.broker, &self.client),
        };
        let mut tracker = if direction == Direction::ToBroker { Tracker::greeting() } else { Tracker::silent() };
        let mut bytes = vec![0; 16 * 1024];
        while !self.has_ended() {
            let read = match from.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => read,
                Err(err) if is_timeout(&err) => 0,
                Err(_) => break,
            };
            if self.pass_on(&bytes[..read], direction, &mut tracker, &mut to, at_confirm).is_err() {
                break;
            }
        }
        // Not a reset: an end that closed in order is told so in order.
        if !self.ended.swap(true, Ordering::AcqRel) {
            for stream in [&self.client, &self.broker] {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }

    fn pass_on(
        &self,
        mut bytes: &[u8],
        direction: Direction,
        tracker: &mut Tracker,
        to: &mut &TcpStream,
        at_confirm: &Mutex<Option<AtConfirm>>,
    ) -> io::Result<()> {
        if direction == Direction::ToBroker && tracker.is_between_frames() {
            self.inject(to)?;
        }
        while !bytes.is_empty() {
            let (taken, head) = tracker.step(bytes);
            if let Some(head) = head {
                self.see(direction, head, at_confirm);
            }
            self.write(direction, &bytes[..taken], to)?;
            bytes = &bytes[taken..];
            if direction == Direction::ToBroker && tracker.is_between_frames() {
                self.inject(to)?;
            }
        }
        Ok(())
    }

    fn inject(&self, to: &mut &TcpStream) -> io::Result<()> {
        let injected = self.with(|state| match state.to_broker {
            Flow::Through => std::mem::take(&mut state.injected),
            _ => Vec::new(),
        });
        injected.iter().try_for_each(|frame| self.write_all(frame, to))
    }

    /// Writes as the flow of this direction says, which may change meanwhile.
    fn write(&self, direction: Direction, mut bytes: &[u8], to: &mut &TcpStream) -> io::Result<()> {
        let mut has_stalled = false;
        while !bytes.is_empty() {
            let flow = self.with(|state| *state.flow(direction));
            let piece = match flow {
                Flow::Through => bytes.len(),
                Flow::Silent => 0,
                Flow::Stalled if has_stalled || bytes.len() < 2 => 0,
                Flow::Stalled => bytes.len() / 2,
                Flow::Slow(bytes_per_second) => bytes.len().min(bytes_per_second as usize / 50),
            };
            has_stalled |= flow == Flow::Stalled && piece > 0;
            if piece > 0 {
                self.write_all(&bytes[..piece], to)?;
                bytes = &bytes[piece..];
            }
            if flow != Flow::Through {
                pass(TICK);
            }
            if self.has_ended() {
                return Err(io::ErrorKind::NotConnected.into());
            }
        }
        Ok(())
    }

    fn write_all(&self, mut bytes: &[u8], to: &mut &TcpStream) -> io::Result<()> {
        while !bytes.is_empty() {
            match to.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(err) if is_timeout(&err) && !self.has_ended() => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// What the proxy knows of a connection it has seen go by.
    fn see(&self, direction: Direction, head: Head, at_confirm: &Mutex<Option<AtConfirm>>) {
        let Some(method) = head.method else { return };
        if direction == Direction::ToWorker {
            if method == wire::BASIC_ACK {
                if let Some(act) = at_confirm.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    act();
                }
            }
            return;
        }
        self.with(|state| match method {
            wire::CHANNEL_OPEN => drop(state.channels.insert(head.channel)),
            wire::CHANNEL_CLOSE | wire::CHANNEL_CLOSE_OK => drop(state.channels.remove(&head.channel)),
            wire::BASIC_CONSUME => state.consumes = true,
            wire::CONFIRM_SELECT => state.publishes = true,
            _ => {}
        });
    }

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn flow(&mut self, direction: Direction) -> &mut Flow {
        match direction {
            Direction::ToBroker => &mut self.to_broker,
            Direction::ToWorker => &mut self.to_worker,
        }
    }
}

/// Two threads, one for each direction; the sockets close when both have ended.
pub fn start(link: &Arc<Link>, at_confirm: &Arc<Mutex<Option<AtConfirm>>>) {
    for direction in [Direction::ToBroker, Direction::ToWorker] {
        let (link, at_confirm) = (link.clone(), at_confirm.clone());
        std::thread::spawn(move || link.carry(direction, &at_confirm));
    }
}

fn is_timeout(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
