//! What can be wrong with a consumer that no broker need tell.

use super::Consumer;
use crate::error::{Error, Fault};
use crate::kill_switch::KillSwitch;
use crate::message::Value;
use std::time::Duration;

impl Consumer {
    /// What is wrong with it that no broker need tell.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |what| {
            let (queue, layout) = (&self.queue.name, &self.layout);
            Error::new(Fault::Config, format!("the consumer of `{queue}` with {layout:?}: {what}"))
        };
        self.layout.check(&self.queue, &self.retry, &self.archive).map_err(wrong)?;
        self.check_that_it_stays()?;
        match self.queue.name.as_str() {
            "" if self.queue.passive => {
                Err(Error::new(Fault::Config, "an existing queue has no name; say which one is to be consumed"))
            }
            // Short strings of AMQP hold 255 bytes, and the longest suffix is that of a retry queue.
            name if name.len() > 230 => {
                Err(Error::new(Fault::Config, format!("the queue name `{name}` is longer than 230 bytes")))
            }
            _ => Ok(()),
        }
    }

    /// A kill switch, and what is handled alone, cancel the consumer for a while: a queue that goes meanwhile takes its messages
    /// along.
    fn check_that_it_stays(&self) -> Result<(), Error> {
        let name = &self.queue.name;
        let wrong = |what| Err(Error::new(Fault::Config, what));
        let who = match (&self.kill_switch, self.poison_after) {
            (Some(_), _) => "a kill switch",
            (None, Some(_)) => "`poison_after`",
            (None, None) => return Ok(()),
        };
        if self.queue.auto_delete {
            return wrong(format!(
                "the queue `{name}` goes with its last consumer, and with it all its messages, and {who} stops consuming for a \
                 while; leave one of the two out"
            ));
        }
        let expires = self.queue.arguments.get("x-expires").and_then(Value::as_i64).and_then(|ms| u64::try_from(ms).ok());
        match (expires.map(Duration::from_millis), self.kill_switch.as_ref().map(KillSwitch::longest_pause)) {
            (Some(expires), Some(longest)) if expires <= longest => wrong(format!(
                "the queue `{name}` goes after {expires:?} without a consumer, and with it all its messages, and its kill switch \
                 may pause for {longest:?}; let the one be longer, or the other shorter"
            )),
            _ => Ok(()),
        }
    }
}
