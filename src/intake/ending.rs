//! Why a channel ended, as far as the broker says and can be told from what it had handed over.

use super::Ended;
use crate::error::{Error, Fault};
use crate::transport::{Incoming, Source};

/// A call that failed on a channel that the broker closed: the reason was sent before.
pub(super) fn self_explained<S: Source>(source: &mut S, err: Error) -> Ended {
    loop {
        match source.receiver().try_recv() {
            Ok(raw) => match source.read(raw) {
                Incoming::Closed(cause) if cause.fault() == Fault::ChannelClosed => return Ended::Channel(cause),
                Incoming::Closed(cause) => return Ended::Lost(cause),
                Incoming::Cancelled => return Ended::Channel(err),
                // Unsettled and unheard of: the broker delivers it again.
                Incoming::Delivery(_) | Incoming::CancelDone => {}
            },
            Err(gone) if gone.is_disconnected() => return Ended::Lost(source.failure()),
            Err(_) => return Ended::Lost(err),
        }
    }
}
