//! What would mend it: the second half of a log line, for whoever is on call.

use crate::error::{Error, Fault};

/// What a person can do about it, as far as the error tells; empty where there is nothing, or it says so itself.
pub(crate) fn remedy(err: &Error) -> &'static str {
    let text = err.to_string();
    let says = |words: &str| text.contains(words);
    match err.fault() {
        Fault::Unreachable if says("onnection refused") => "nobody listens there: start the broker, or correct host and port",
        Fault::Unreachable if says("cannot be found") => "correct the host's name, or see to the name service",
        Fault::Unreachable if says("timed out") || says("unreachable") => "see to the network, its firewalls and the host",
        Fault::Lost if says("heartbeats") => "the broker or the network between hangs: see to both",
        Fault::Lost if says("CONNECTION_FORCED") => "an operator closed it, or the broker shuts down",
        Fault::Lost if says("socket") || says("reset") => "the broker was killed or restarted, or something between cut it",
        Fault::Timeout => "the broker or the network between hangs or is overloaded: see to both",
        Fault::AccessRefused if says("exclusive use") => "another consumer has the queue to itself: end that one",
        Fault::AccessRefused if says("vhost") && says("not found") => "create the virtual host, or correct the URL",
        Fault::AccessRefused if says(" to vhost ") => "give the user access to it (`rabbitmqctl set_permissions`)",
        Fault::AccessRefused if says("ACCESS_REFUSED") => "give the user this permission (`rabbitmqctl set_permissions`)",
        Fault::NotFound if says("was deleted") => "whoever owns it has to declare it again",
        Fault::NotFound if says("no queue") => "declare the queue, or correct its name",
        Fault::NotFound if says("no exchange") => "declare the exchange, or correct its name",
        Fault::Locked => "it belongs to another connection; wait for its end",
        Fault::Mismatch if says("exists with other arguments") => "declare it as it is, or delete it first",
        _ => "",
    }
}

/// The error with its remedy.
pub(crate) fn with_remedy(err: &Error) -> String {
    match remedy(err) {
        "" => err.to_string(),
        remedy => format!("{err}; {remedy}"),
    }
}
