//! Deadlines around calls that have none: amiquip's RPCs, publishes and acks can block for ever on a silent peer.
//!
//! One thread looks at all armed deadlines ten times a second and shuts the socket of a call that overran; that frees the
//! call within milliseconds. Arming is two stores to an atomic, cheap enough for every settle.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

/// How often deadlines are looked at; a call overruns by this much at the most.
const TICK: Duration = Duration::from_millis(100);

/// The deadline of one caller (a connection or a channel) over one socket.
pub(super) struct Deadline(Arc<Entry>);

struct Entry {
    socket: Arc<TcpStream>,
    /// Milliseconds since the first use of this module; 0 is disarmed.
    due_ms: AtomicU64,
    passed: AtomicBool,
}

impl Deadline {
    pub fn over(socket: Arc<TcpStream>) -> Self {
        let entry = Arc::new(Entry { socket, due_ms: AtomicU64::new(0), passed: AtomicBool::new(false) });
        watch(Arc::downgrade(&entry));
        Deadline(entry)
    }

    /// Runs the call; if it takes longer than `limit`, the socket is shut and the call fails.
    pub fn within<T>(&self, limit: Duration, call: impl FnOnce() -> T) -> T {
        let due_ms = now_ms() + u64::try_from(limit.as_millis()).unwrap_or(u64::MAX / 2).max(1);
        self.0.due_ms.store(due_ms, Ordering::Release);
        let result = call();
        self.0.due_ms.store(0, Ordering::Release);
        result
    }

    /// Whether a call overran, which is why everything after it fails.
    pub fn has_passed(&self) -> bool {
        self.0.passed.load(Ordering::Acquire)
    }
}

impl Entry {
    fn enforce(&self, now_ms: u64) {
        let due_ms = self.due_ms.load(Ordering::Acquire);
        if due_ms != 0 && due_ms <= now_ms && !self.passed.swap(true, Ordering::AcqRel) {
            // The socket may be gone already; then the call is on its way back.
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }
}

fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // One more than the time passed, because 0 means disarmed.
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

fn watch(entry: Weak<Entry>) {
    static ENTRIES: Mutex<Option<Vec<Weak<Entry>>>> = Mutex::new(None);
    let mut entries = ENTRIES.lock().expect("no holder of the deadlines panics");
    if let Some(entries) = entries.as_mut() {
        return entries.push(entry);
    }
    *entries = Some(vec![entry]);
    let spawned = std::thread::Builder::new().name("bootstep-deadlines".into()).spawn(|| {
        // A channel that never gets anything: a wait that needs no explanation to the scheduler.
        let never = crossbeam_channel::never::<()>();
        loop {
            let _ = never.recv_timeout(TICK);
            let mut entries = ENTRIES.lock().expect("no holder of the deadlines panics");
            let now_ms = now_ms();
            let armed = entries.as_mut().expect("only this thread sets it to none, below");
            armed.retain(|entry| entry.upgrade().map(|entry| entry.enforce(now_ms)).is_some());
            if armed.is_empty() {
                *entries = None;
                return;
            }
        }
    });
    if spawned.is_err() {
        *entries = None;
        log::error!("no thread could be started to watch deadlines: calls to the broker may hang");
    }
}
