//! From an address to an open socket: which host is tried, its name looked up, TCP connected, each with a deadline.

use super::address::{Address, Addresses};
use crate::error::{Error, Fault};
use crate::remedy::with_remedy;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often somebody who connects asks whether that is still wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Opens one of the hosts. Their order is another each time, so that a fleet of workers spreads over a cluster, and so that
/// a host which is back is used again.
pub(super) fn any<T>(
    addresses: &Addresses,
    is_wanted: &impl Fn() -> bool,
    mut open: impl FnMut(&Address) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut order: Vec<&Address> = addresses.hosts().iter().collect();
    fastrand::shuffle(&mut order);
    let mut failures = Vec::new();
    for address in order {
        // Before a further one only: of the last, the cause is told.
        if !failures.is_empty() && !is_wanted() {
            return Err(given_up());
        }
        match open(address) {
            Ok(opened) => {
                note_hosts(&address.place(), &failures);
                return Ok(opened);
            }
            Err(err) => failures.push((address.place(), err)),
        }
    }
    Err(together(failures))
}

/// Opens on a thread of its own, which is left behind when the connection is not wanted any more: a host that is silent, or a
/// name service, must not hold up the end of a worker.
pub(super) fn while_wanted<T: Send + 'static>(
    is_wanted: &impl Fn() -> bool,
    open: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (answer, answered) = crossbeam_channel::bounded(1);
    let opening = std::thread::Builder::new().name("bootstep-connect".into()).spawn(move || {
        // If nobody waits any more, what was opened is closed again.
        let _ = answer.try_send(open());
    });
    opening.map_err(|err| Error::new(Fault::Unreachable, "no thread could be started to connect").because(err))?;
    loop {
        match answered.recv_timeout(LOOK_AGAIN) {
            Ok(opened) => return opened,
            Err(err) if err.is_timeout() && is_wanted() => {}
            Err(err) if err.is_timeout() => return Err(given_up()),
            Err(_) => return Err(Error::new(Fault::Unreachable, "connecting panicked; please report this")),
        }
    }
}

fn given_up() -> Error {
    Error::new(Fault::Unreachable, "connecting was given up, as nobody wants it any more")
}

/// Says once of each host that is gone that it is, until it has been used again: connections are many, a host goes once.
fn note_hosts(used: &str, failures: &[(String, Error)]) {
    static GONE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut gone = GONE.lock().unwrap_or_else(PoisonError::into_inner);
    gone.remove(used);
    for (place, failure) in failures {
        if gone.insert(place.clone()) {
            log::warn!("{place} was passed over for {used}: {}", with_remedy(failure));
        }
    }
}

/// What to say when every host failed. If any of them may come back by itself, trying again can help.
fn together(mut failures: Vec<(String, Error)>) -> Error {
    if failures.len() == 1 {
        return failures.remove(0).1;
    }
    let transient = failures.iter().find(|(_, err)| err.is_transient());
    let fault = transient.or(failures.first()).map_or(Fault::Config, |(_, err)| err.fault());
    let causes: Vec<String> = failures.iter().map(|(place, err)| format!("{place}: {err}")).collect();
    Error::new(fault, format!("none of the {} hosts could be used: {}", causes.len(), causes.join("; ")))
}

/// Tries every address that the name stands for; the second socket is for shutting the first from another thread.
pub(super) fn connect(address: &Address, due: Instant) -> Result<(TcpStream, TcpStream), Error> {
    let unreachable = |what: String| Error::new(Fault::Unreachable, what);
    let resolved = resolve(address, due)?;
    let mut last = unreachable(format!("the host `{}` has no address", address.host));
    for (index, candidate) in resolved.iter().enumerate() {
        // Each gets its share, or one that is silent would take the time of those after it.
        let share = due.saturating_duration_since(Instant::now()) / u32::try_from(resolved.len() - index).unwrap_or(u32::MAX);
        let connected = TcpStream::connect_timeout(candidate, share.max(Duration::from_millis(1))).and_then(|socket| {
            // Without this a confirmed publish waits for the delayed acknowledgement of TCP, 40 ms.
            socket.set_nodelay(true)?;
            let kept = socket.try_clone()?;
            Ok((socket, kept))
        });
        match connected {
            Ok(pair) => return Ok(pair),
            Err(err) => last = unreachable(format!("could not connect to {candidate}")).because(err),
        }
    }
    Err(last)
}

/// The addresses that the host's name stands for. The system's resolver knows no deadline, so it is asked on a thread that
/// may be left behind.
fn resolve(address: &Address, due: Instant) -> Result<Vec<SocketAddr>, Error> {
    let place = (address.host.clone(), address.port);
    let failed = |why: &str| Error::new(Fault::Unreachable, format!("the host `{}` {why}", address.host));
    let (answer, answered) = crossbeam_channel::bounded(1);
    let ask = move || {
        let _ = answer.try_send(place.to_socket_addrs().map(Vec::from_iter));
    };
    let asking = std::thread::Builder::new().name("bootstep-resolver".into()).spawn(ask);
    asking.map_err(|err| failed("could not be looked up: no thread could be started").because(err))?;
    match answered.recv_deadline(due) {
        Ok(found) => found.map_err(|err| failed("cannot be found").because(err)),
        Err(_) => Err(failed("was not found in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Addresses {
        Addresses::parse("amqp://a,b:1,[::1]").expect("this is a good URL")
    }

    #[test]
    fn hosts_are_tried_until_one_opens_in_another_order_each_time() {
        let mut orders = BTreeSet::new();
        for _ in 0..200 {
            let mut tried = Vec::new();
            let opened = any(&three(), &|| true, |address| {
                tried.push(address.place());
                match address.host.as_str() {
                    "b" => Ok(address.place()),
                    _ => Err(Error::new(Fault::Unreachable, "away")),
                }
            });
            assert_eq!(opened.expect("one of them opens"), "b:1");
            assert_eq!(tried.pop().as_deref(), Some("b:1"));
            orders.insert(tried);
        }
        // None, one of two, or both of them before it.
        assert_eq!(orders.len(), 5);
    }

    #[test]
    fn all_that_failed_are_named_with_their_causes() {
        let err = any(&three(), &|| true, |address| -> Result<(), _> {
            Err(Error::new(Fault::AccessRefused, format!("no {}", address.host)))
        });
        let text = err.expect_err("all of them fail").to_string();
        assert!(text.starts_with("none of the 3 hosts could be used: "), "{text}");
        for cause in ["a:5672: no a", "b:1: no b", "[::1]:5672: no ::1"] {
            assert!(text.contains(cause), "{text}");
        }
    }

    #[test]
    fn no_further_host_is_tried_once_it_is_not_wanted() {
        let tried = std::cell::Cell::new(0);
        let opened = any(&three(), &|| tried.get() < 2, |_| -> Result<(), _> {
            tried.set(tried.get() + 1);
            Err(Error::new(Fault::Timeout, "silent"))
        });
        let err = opened.expect_err("nobody answers");
        assert_eq!((tried.get(), err.fault()), (2, Fault::Unreachable));

        let alone = Addresses::parse("amqp://a").expect("this is a good URL");
        let opened = any(&alone, &|| false, |_| -> Result<(), _> { Err(Error::new(Fault::Timeout, "silent")) });
        assert_eq!(opened.expect_err("nobody answers").to_string(), "silent");
    }

    #[test]
    fn trying_again_can_help_if_it_can_with_any_of_them() {
        let with = |faults: &[Fault]| {
            let failures = faults.iter().map(|fault| (String::new(), Error::new(*fault, "")));
            together(failures.collect()).fault()
        };
        assert_eq!(with(&[Fault::AccessRefused, Fault::Timeout, Fault::Unreachable]), Fault::Timeout);
        assert_eq!(with(&[Fault::AccessRefused, Fault::Config]), Fault::AccessRefused);
        assert_eq!(with(&[Fault::Config]), Fault::Config);
    }

    #[test]
    fn an_attempt_that_is_not_wanted_any_more_is_left_behind() {
        let (let_go, gate) = crossbeam_channel::bounded::<()>(0);
        let opened = while_wanted(&|| false, move || Ok(gate.recv().is_ok()));
        assert!(opened.expect_err("it hangs").to_string().contains("given up"));
        drop(let_go);
        assert!(while_wanted(&|| false, || Ok(7)).is_ok_and(|opened| opened == 7), "what is there at once is taken");
    }
}
