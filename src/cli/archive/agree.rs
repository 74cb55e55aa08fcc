//! What looking costs: a quorum queue counts each look as a delivery, and gives a message up after so many. Nobody should lose
//! messages by looking at them without having been told.

use super::which::{Found, Which};
use crate::broker::DeliveryLimit;
use crate::cli::failure::Done;
use crate::cli::session::Session;
use std::io::{self, Write};

impl Found {
    /// Goes on if looking costs nothing, or if the person agrees to what it costs.
    pub fn agree(&self, session: &Session, which: &Which) -> Done {
        match (self.messages, self.cost()) {
            (0, _) | (_, None) => Ok(()),
            (_, Some(cost)) if self.counts_looks => session.confirm(&cost, which.yes),
            (_, Some(_)) => Ok(writeln!(
                io::stderr(),
                "note: `{}` may count deliveries; this look costs none, unless it is killed or loses its connection",
                self.name
            )?),
        }
    }

    /// What a look costs, if anything.
    fn cost(&self) -> Option<String> {
        let Found { name, messages, limit, .. } = self;
        match limit {
            DeliveryLimit::None => None,
            DeliveryLimit::At(limit) => Some(format!(
                "`{name}` is a quorum queue with a delivery limit of {limit}: it counts this look as a delivery of each of its \
                 {messages} messages that goes back, and drops or dead-letters one that has come back more than {limit} times. A \
                 message that has used them up would be lost by this look (`archive list` shows how many each has used)."
            )),
            DeliveryLimit::Unknown => Some(format!(
                "The broker does not tell whether `{name}` counts deliveries (asking takes the permission to configure it). If it is \
                 a quorum queue with a delivery limit, this look counts as a delivery of each of its {messages} messages, and one \
                 that has used them up would be dropped or dead-lettered."
            )),
        }
    }
}
