//! A consumer that is told step by step what to do, on a thread of its own, so that several are open in any order.

use super::script::How;
use bootstep::{Connection, Error, Fault, Letter, Subscribe};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// An open consumer; dropping it closes its channel, and what is unsettled goes back.
pub struct Reader {
    pub queue: String,
    /// What it has and has not settled, the oldest first.
    pub held: Vec<Letter>,
    /// Why nothing more comes, if so.
    pub ended: Option<Fault>,
    ask: Option<Sender<Ask>>,
    told: Receiver<Told>,
    thread: Option<JoinHandle<()>>,
}

enum Ask {
    Look,
    Settle(u64, How),
}

enum Told {
    Opened,
    Refused(Error),
    Came(Vec<Letter>, Option<Fault>),
    Settled(Result<(), Error>),
}

impl Reader {
    pub fn open(connection: &Connection, queue: String, options: Subscribe) -> Result<Reader, Error> {
        let (ask, asked) = channel();
        let (tell, told) = channel();
        let (connection, name) = (connection.clone(), queue.clone());
        let thread = thread::spawn(move || {
            if let Err(err) = connection.consume_with(&name, &options, |inbox| {
                tell.send(Told::Opened).unwrap();
                for ask in asked {
                    let answer = match ask {
                        Ask::Look => {
                            let (mut came, mut ended) = (Vec::new(), None);
                            loop {
                                match inbox.next(Duration::ZERO) {
                                    Ok(Some(letter)) => came.push(letter),
                                    Ok(None) => break,
                                    Err(err) => {
                                        ended = Some(err.fault());
                                        break;
                                    }
                                }
                            }
                            Told::Came(came, ended)
                        }
                        Ask::Settle(tag, how) => {
                            let settled = match how {
                                How::Ack => inbox.ack(tag),
                                How::AckUpTo => inbox.ack_up_to(tag),
                                How::Reject => inbox.reject(tag),
                                How::Requeue => inbox.requeue(tag),
                            };
                            Told::Settled(settled)
                        }
                    };
                    tell.send(answer).unwrap();
                }
            }) {
                let _ = tell.send(Told::Refused(err));
            }
        });
        match told.recv().unwrap() {
            Told::Opened => {
                let (ask, thread) = (Some(ask), Some(thread));
                Ok(Reader { queue, held: Vec::new(), ended: None, ask, told, thread })
            }
            Told::Refused(err) => Err(err),
            Told::Came(..) | Told::Settled(_) => unreachable!("nothing was asked yet"),
        }
    }

    fn ask(&self, ask: Ask) -> Told {
        self.ask.as_ref().expect("it is there until the reader is dropped").send(ask).unwrap();
        self.told.recv().unwrap()
    }

    /// Takes in what has come by now; answers how much that was.
    pub fn look(&mut self) -> usize {
        if self.ended.is_some() {
            return 0;
        }
        let Told::Came(came, ended) = self.ask(Ask::Look) else { unreachable!("a look is answered by what came") };
        self.ended = ended;
        let count = came.len();
        self.held.extend(came);
        count
    }

    /// Settles one of the held, by its place.
    pub fn settle(&mut self, place: usize, how: How) -> Result<(), Error> {
        let tag = self.held[place].tag;
        match how {
            How::AckUpTo => drop(self.held.drain(..=place)),
            _ => drop(self.held.remove(place)),
        }
        match self.ask(Ask::Settle(tag, how)) {
            Told::Settled(settled) => settled,
            _ => unreachable!("a settlement is answered as such"),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.ask.take());
        // It is closed when this returns.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
