//! Why a channel ended, as far as the broker says and can be told from what it had handed over.

use super::Ended;
use crate::error::{Error, Fault};
use crate::transport::{Incoming, Source};
use std::time::Duration;

/// A broker that cancels a consumer does not say why. RabbitMQ's consumer timeout is at least so long wherever it makes sense.
const LIKELY_AFTER: Duration = Duration::from_secs(4);

/// What to do so that no message is held for too long.
const SHORTEN: &str =
    "make the handler quicker or the prefetch smaller, or raise the queue's `x-consumer-timeout` or the broker's \
                       `consumer_timeout`";

/// The same end, with what is known of how long the oldest message had been held.
pub(super) fn explained(ended: Ended, held: Option<Duration>) -> Ended {
    match ended {
        Ended::Channel(err) => Ended::Channel(timed_out(&err, held).unwrap_or(err)),
        Ended::Cancelled { .. } => Ended::Cancelled { held },
        other => other,
    }
}

/// In our words, if it is the broker's consumer timeout that closed the channel
/// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
fn timed_out(err: &Error, held: Option<Duration>) -> Option<Error> {
    let text = err.to_string();
    if !text.contains("delivery acknowledgement") || !text.contains("timed out") {
        return None;
    }
    let limit = text.split_once("value used: ").and_then(|(_, rest)| rest.split_once(" ms"));
    let limit = limit.map(|(ms, _)| format!(" of {ms} ms")).unwrap_or_default();
    let what = match held {
        Some(held) => format!("a message was held for {held:.1?}, longer than its consumer timeout{limit}"),
        None => format!("a message was held for longer than its consumer timeout{limit}"),
    };
    let what = format!("the broker closed the channel: {what}; it delivers again what was unsettled");
    Some(Error::new(err.fault(), format!("{what}; {SHORTEN}")))
}

/// Why the broker cancelled a consumer whose queue is there.
pub(super) fn cancelled(held: Option<Duration>) -> Error {
    let what = match held.filter(|held| *held >= LIKELY_AFTER) {
        Some(held) => format!(
            "the broker cancelled the consumer, most likely by its consumer timeout: a message was held for {held:.1?}; {SHORTEN}"
        ),
        None => "the broker cancelled the consumer, and the queue is still there (its leader moved, or somebody declared it anew)"
            .into(),
    };
    Error::new(Fault::ChannelClosed, what)
}

/// A call that failed on a channel that the broker closed: the reason was sent before.
pub(super) fn self_explained<S: Source>(source: &mut S, err: Error) -> Ended {
    loop {
        match source.receiver().try_recv() {
            Ok(raw) => match source.read(raw) {
                Incoming::Closed(cause) if cause.fault() == Fault::ChannelClosed => return Ended::Channel(cause),
                Incoming::Closed(cause) => return Ended::Lost(cause),
                Incoming::Cancelled => return Ended::Cancelled { held: None },
                // Unsettled and unheard of: the broker delivers it again.
                Incoming::Delivery(_) | Incoming::CancelDone => {}
            },
            Err(gone) if gone.is_disconnected() => return Ended::Lost(source.failure()),
            Err(_) => return Ended::Lost(err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str =
        "the broker closed the channel: 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. \
                          Timeout value used: 1800000 ms. This timeout value can be configured";

    #[track_caller]
    fn check(theirs: &str, held: Option<u64>, expected: &str) {
        let ended = explained(Ended::Channel(Error::new(Fault::ChannelClosed, theirs)), held.map(Duration::from_secs));
        let Ended::Channel(err) = ended else { panic!("it is the channel that ended") };
        assert!(err.to_string().starts_with(expected), "{err}");
    }

    #[test]
    fn the_consumer_timeout_is_told_by_name_with_the_time_and_the_remedy() {
        check(
            THEIRS,
            Some(1860),
            "the broker closed the channel: a message was held for 1860.0s, longer than its consumer timeout of 1800000 ms",
        );
        check(
            THEIRS,
            None,
            "the broker closed the channel: a message was held for longer than its consumer timeout of 1800000 ms; it delivers",
        );
        check(
            "the broker closed the channel: 541 INTERNAL_ERROR",
            Some(1860),
            "the broker closed the channel: 541 INTERNAL_ERROR",
        );
    }

    #[test]
    fn a_cancel_after_a_long_hold_is_likely_the_consumer_timeout() {
        let text = |held: Option<u64>| cancelled(held.map(Duration::from_secs)).to_string();
        assert!(text(Some(5)).contains("most likely by its consumer timeout: a message was held for 5.0s; make the handler"));
        assert!(text(Some(1)).contains("the queue is still there") && text(None).contains("the queue is still there"));
    }
}
