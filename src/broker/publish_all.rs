//! Publishing by hand: a few messages over a channel of their own, and the confirms of all of them.

use crate::error::{Error, Fault};
use crate::message::Publication;
use crate::transport::{Outlet, PublishVisit, Taken};
use std::time::Instant;

/// Publishes all of them and waits until the broker has confirmed each.
pub(super) struct PublishAll<'a> {
    pub publications: &'a [Publication],
    pub due: Instant,
}

impl PublishVisit for PublishAll<'_> {
    type Output = Result<(), Error>;

    fn visit<O: Outlet>(self, outlet: &mut O) -> Result<(), Error> {
        let mut open = self.publications.len();
        for publication in self.publications {
            outlet.publish(publication)?;
        }
        let mut taken = Vec::new();
        let mut refused = None;
        while open > 0 {
            match outlet.receiver().recv_deadline(self.due) {
                Ok(raw) => outlet.read(raw, &mut taken),
                Err(err) if err.is_timeout() => {
                    let what = format!("{open} of {} publishes were not confirmed in time", self.publications.len());
                    return Err(Error::new(Fault::Timeout, what));
                }
                Err(_) => return Err(outlet.failure()),
            }
            open -= taken.len();
            refused = taken.drain(..).find(|(_, taken)| *taken != Taken::Yes).or(refused);
        }
        match refused {
            None => Ok(()),
            Some((sequence, taken)) => {
                let publication = &self.publications[sequence as usize - 1];
                let why = taken.reason();
                Err(Error::new(Fault::NotTaken, format!("{publication:?} was not taken: {why}")))
            }
        }
    }
}
