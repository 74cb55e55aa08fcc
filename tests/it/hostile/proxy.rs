//! A proxy in front of RabbitMQ that can change what the broker says, frame by frame.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A frame from the broker.
pub struct Frame {
    pub bytes: Vec<u8>,
    /// Which connection it is for, in the order in which they were opened, from 1.
    pub connection: usize,
}

impl Frame {
    pub fn kind(&self) -> u8 {
        self.bytes[0]
    }

    pub fn is_method(&self, class: u16, method: u16) -> bool {
        self.kind() == 1 && self.payload()[..4] == [class.to_be_bytes(), method.to_be_bytes()].concat()
    }

    pub fn payload(&self) -> &[u8] {
        &self.bytes[7..self.bytes.len() - 1]
    }

    /// A method on the same channel.
    pub fn method(&self, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[1, self.bytes[1], self.bytes[2]][..], &size, &payload, &[0xce]].concat()
    }
}

/// What the client gets instead of the frame.
pub enum Instead {
    /// These bytes, and the conversation goes on.
    Bytes(Vec<u8>),
    /// These bytes, and then the end of the socket.
    End(Vec<u8>),
    /// These bytes, and then nothing more.
    Silence(Vec<u8>),
    /// The same frame, a tenth of it every half second.
    Slowly,
}

type Tamper = Box<dyn FnMut(&Frame) -> Option<Instead> + Send>;

/// The proxy; it ends with the process.
pub struct Proxy {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// `tamper` sees each frame that the broker sends, on all connections.
    pub fn to(broker: SocketAddr, tamper: impl FnMut(&Frame) -> Option<Instead> + Send + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tamper: Arc<Mutex<Tamper>> = Arc::new(Mutex::new(Box::new(tamper)));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                relay(client.unwrap(), TcpStream::connect(broker).unwrap(), number, Arc::clone(&tamper));
            }
        });
        Proxy { port, connections }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Frames from the broker by way of `tamper`, bytes from the client as they are; either end's end ends both.
fn relay(client: TcpStream, broker: TcpStream, number: usize, tamper: Arc<Mutex<Tamper>>) {
    let (mut from_client, mut to_broker) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_broker);
        let _ = to_broker.shutdown(Shutdown::Both);
    });
    let (mut client, mut broker) = (client, broker);
    std::thread::spawn(move || {
        // An error is the end of either socket.
        let _ = frames(&mut broker, &mut client, number, &tamper);
        let _ = client.shutdown(Shutdown::Both);
    });
}

fn frames(broker: &mut TcpStream, client: &mut TcpStream, connection: usize, tamper: &Mutex<Tamper>) -> std::io::Result<()> {
    loop {
        let mut bytes = vec![0; 7];
        broker.read_exact(&mut bytes)?;
        let size = u32::from_be_bytes([bytes[3], bytes[4], bytes[5], bytes[6]]) as usize;
        bytes.resize(7 + size + 1, 0);
        broker.read_exact(&mut bytes[7..])?;
        let frame = Frame { bytes, connection };
        let instead = (tamper.lock().unwrap())(&frame);
        match instead {
            None => client.write_all(&frame.bytes)?,
            Some(Instead::Bytes(bytes)) => client.write_all(&bytes)?,
            Some(Instead::End(bytes)) => return client.write_all(&bytes),
            Some(Instead::Slowly) => {
                let (_open, never) = std::sync::mpsc::channel::<()>();
                for piece in frame.bytes.chunks(frame.bytes.len().div_ceil(10)) {
                    client.write_all(piece)?;
                    let _ = never.recv_timeout(Duration::from_millis(500));
                }
            }
            Some(Instead::Silence(bytes)) => {
                client.write_all(&bytes)?;
                // Until the client has had enough: then its other half closes the broker's socket.
                return std::io::copy(broker, &mut std::io::sink()).map(drop);
            }
        }
    }
}
