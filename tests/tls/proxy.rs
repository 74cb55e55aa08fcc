//! A proxy between client and broker that can stop passing bytes on, and that passes them on in pieces of any size.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Sizes in turn, so that records of TLS arrive cut anywhere.
const PIECES: [usize; 6] = [1, 7, 1_460, 64 * 1024, 5, 16_411];

/// One way through it, which can be shut for a while.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

/// `Some` while it is shut: how many bytes of each connection still pass.
type State = Option<usize>;

impl Gate {
    /// This many bytes of each connection pass, then nothing does.
    pub fn shut_after(&self, bytes: usize) {
        *self.0 .0.lock().unwrap() = Some(bytes);
    }

    pub fn open(&self) {
        *self.0 .0.lock().unwrap() = None;
        self.0 .1.notify_all();
    }

    /// Waits until something may pass, and says how much; `passed` is what has passed since it was shut.
    fn pass(&self, piece: usize, passed: &mut usize) -> usize {
        let state = self.0 .1.wait_while(self.0 .0.lock().unwrap(), |state| state.is_some_and(|most| *passed >= most)).unwrap();
        match *state {
            Some(most) => piece.min(most - *passed),
            None => {
                *passed = 0;
                piece
            }
        }
    }
}

pub struct Proxy {
    pub port: u16,
    pub to_broker: Gate,
    pub to_client: Gate,
}

impl Proxy {
    /// It passes on every connection to this port, for as long as the process runs.
    pub fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy =
            Proxy { port: listener.local_addr().unwrap().port(), to_broker: Gate::default(), to_client: Gate::default() };
        let gates = (proxy.to_broker.clone(), proxy.to_client.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                let ends = (client.try_clone().unwrap(), broker.try_clone().unwrap());
                let (to_broker, to_client) = gates.clone();
                thread::spawn(move || pass_on(client, broker, &to_broker));
                thread::spawn(move || pass_on(ends.1, ends.0, &to_client));
            }
        });
        proxy
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut buffer = vec![0; 64 * 1024];
    to.set_nodelay(true).unwrap();
    let mut passed = 0;
    for piece in PIECES.iter().cycle() {
        let most = gate.pass(*piece, &mut passed);
        match from.read(&mut buffer[..most]) {
            Ok(length @ 1..) if to.write_all(&buffer[..length]).is_ok() => passed += length,
            _ => break,
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
