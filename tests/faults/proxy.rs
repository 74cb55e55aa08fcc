//! The suite's own TCP proxy between one worker and the broker: it resets, falls silent, stalls and slows down.

use crate::link::{self, AtConfirm, Direction, Flow, Link};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// In front of one broker, for one worker; it ends when dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    links: Mutex<Vec<Arc<Link>>>,
    /// How new connections carry bytes: to the broker, to the worker.
    fresh: Mutex<(Flow, Flow)>,
    at_confirm: Arc<Mutex<Option<AtConfirm>>>,
    ended: AtomicBool,
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            target,
            links: Mutex::default(),
            fresh: Mutex::new((Flow::Through, Flow::Through)),
            at_confirm: Arc::default(),
            ended: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.ended.load(Ordering::Acquire) {
                    return;
                }
                serving.relay(client);
            }
        });
        Proxy { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The connections that are open now.
    pub fn links(&self) -> Vec<Arc<Link>> {
        let mut links = lock(&self.shared.links);
        links.retain(|link| !link.has_ended());
        links.clone()
    }

    /// How connections made from now on carry bytes.
    pub fn set_fresh(&self, direction: Direction, flow: Flow) {
        let mut fresh = lock(&self.shared.fresh);
        match direction {
            Direction::ToBroker => fresh.0 = flow,
            Direction::ToWorker => fresh.1 = flow,
        }
    }

    /// This is called once, when the broker's next confirm goes by, before it is passed on.
    pub fn at_next_confirm(&self, act: impl FnOnce() + Send + 'static) {
        *lock(&self.shared.at_confirm) = Some(Box::new(act));
    }

    /// Whether the confirm that was waited for has gone by; if not, it is waited for no longer.
    pub fn forget_confirm(&self) -> bool {
        lock(&self.shared.at_confirm).take().is_none()
    }

    /// Everything goes through again.
    pub fn heal(&self) {
        for direction in [Direction::ToBroker, Direction::ToWorker] {
            self.set_fresh(direction, Flow::Through);
            self.links().iter().for_each(|link| link.set(direction, Flow::Through));
        }
    }
}

impl Shared {
    fn relay(&self, client: TcpStream) {
        // Where there is no broker, the client is refused, a moment later than the broker would have.
        let Ok(broker) = TcpStream::connect_timeout(&self.target, Duration::from_secs(1)) else { return };
        let flows = *lock(&self.fresh);
        if let Ok(link) = Link::new(client, broker, flows) {
            let link = Arc::new(link);
            lock(&self.links).push(link.clone());
            link::start(&link, &self.at_confirm);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.links().iter().for_each(|link| link.reset());
        // Wakes the listener, which then sees that it is the end.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
