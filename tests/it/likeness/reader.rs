//! A consumer that is told step by step what to do, on a thread of its own, so that several are open in any order.

use super::script::How;
use bootstep::{Connection, Error, Fault, Inbox, Letter, Subscribe};
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
            let consumed = connection.consume_with(&name, &options, |inbox| {
                tell.send(Told::Opened).unwrap();
                asked.iter().for_each(|ask| tell.send(answer(inbox, ask)).unwrap());
            });
            if let Err(err) = consumed {
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

    /// Takes in what has come by now.
    pub fn look(&mut self) {
        if self.ended.is_some() {
            return;
        }
        let Told::Came(came, ended) = self.ask(Ask::Look) else { unreachable!("a look is answered by what came") };
        self.ended = ended;
        self.held.extend(came);
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

fn answer(inbox: &mut Inbox<'_>, ask: Ask) -> Told {
    match ask {
        Ask::Look => {
            let mut came = Vec::new();
            loop {
                match inbox.next(Duration::ZERO) {
                    Ok(Some(letter)) => came.push(letter),
                    Ok(None) => return Told::Came(came, None),
                    Err(err) => return Told::Came(came, Some(err.fault())),
                }
            }
        }
        Ask::Settle(tag, how) => Told::Settled(match how {
            How::Ack => inbox.ack(tag),
            How::AckUpTo => inbox.ack_up_to(tag),
            How::Reject => inbox.reject(tag),
            How::Requeue => inbox.requeue(tag),
        }),
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.ask.take());
        // It is closed when this returns.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
