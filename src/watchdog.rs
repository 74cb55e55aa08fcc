//! The thread that looks at what handlers are at: it warns of those that overrun, tells of those that are stuck, and has the
//! process leave where a consumer says so.

use crate::clock::Clock;
use crate::error::{Error, Fault};
use crate::stint::{Notes, Stint};
use crate::tally::{Roster, Tally, TimeLimits};
use crossbeam_channel::{select, Receiver};
use std::time::Duration;

/// No look is nearer than this: a limit of next to nothing must not keep a processor busy.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// How long it waits where nothing has a limit; whoever joins wakes it.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Starts the thread, which ends when the other end of `alive` is dropped; `leave` is called, with the reason, when a handler
/// has run for longer than its consumer lets it.
pub(crate) fn start(roster: Roster, alive: Receiver<()>, leave: impl Fn(&str) + Send + 'static) -> Result<(), Error> {
    let watch = move || loop {
        let wait = look(&roster, &leave);
        let alarm = roster.clock().after_unasked(wait);
        select! {
            recv(alive) -> _ => return,
            recv(roster.joined()) -> _ => {}
            recv(alarm) -> _ => {}
        }
    };
    let started = std::thread::Builder::new().name("bootstep-watchdog".into()).spawn(watch);
    started.map(drop).map_err(|err| Error::new(Fault::Step, "no thread could be started to watch handlers").because(err))
}

/// Tells what is due, and answers when the next thing can be: what has not begun by now is due a whole limit later.
fn look(roster: &Roster, leave: &impl Fn(&str)) -> Duration {
    let mut next = LONGEST_WAIT;
    for tally in roster.all() {
        next = next.min(tally.limits.shortest());
        for stint in tally.at_work() {
            next = next.min(look_at(&tally, &stint, roster.clock(), leave).unwrap_or(next));
        }
    }
    next.max(SHORTEST_WAIT)
}

fn look_at(tally: &Tally, stint: &Stint, clock: &Clock, leave: &impl Fn(&str)) -> Option<Duration> {
    let (run, ran) = stint.running(clock.now())?;
    let (due, next) = stint.note(run, |notes| {
        let due = due(&tally.limits, notes, ran);
        notes.overran |= due.overran;
        notes.stuck = due.stuck.or(notes.stuck);
        notes.left |= due.leave;
        (due, next_due(&tally.limits, notes))
    });
    if !due.is_nothing() {
        stint.tell(run);
        tell(tally, &due, ran, &stint.words(run), leave);
    }
    Some(next.saturating_sub(ran))
}

fn tell(tally: &Tally, due: &Due, ran: Duration, words: &str, leave: &impl Fn(&str)) {
    let queue = &tally.queue;
    if due.overran {
        tally.overran.add_one();
    }
    if due.leave {
        leave(&format!("`{queue}`: a handler has run for {ran:.1?}, which is over its limit: {words}"));
    } else if due.stuck.is_some() {
        log::error!("`{queue}`: a handler has been at one message for {ran:.1?} and holds a thread of its pool: {words}");
    } else if due.overran {
        let limit = tally.limits.soft.unwrap_or_default();
        log::warn!("`{queue}`: a handler has run for {ran:.1?}, its soft limit is {limit:?}: {words}");
    }
}

/// What is to be told of a run now.
#[derive(Debug, Default, PartialEq, Eq)]
struct Due {
    overran: bool,
    /// How long it has been stuck, if that is news.
    stuck: Option<Duration>,
    leave: bool,
}

impl Due {
    fn is_nothing(&self) -> bool {
        *self == Due::default()
    }
}

fn due(limits: &TimeLimits, notes: &Notes, ran: Duration) -> Due {
    let news = notes.stuck.map_or(limits.stuck, |last| last.saturating_mul(2));
    Due {
        overran: !notes.overran && limits.soft.is_some_and(|limit| ran >= limit),
        stuck: (ran >= news).then_some(ran),
        leave: !notes.left && limits.leave.is_some_and(|limit| ran >= limit),
    }
}

/// How long it has to run until there is more to tell.
fn next_due(limits: &TimeLimits, notes: &Notes) -> Duration {
    let soft = limits.soft.filter(|_| !notes.overran);
    let leave = limits.leave.filter(|_| !notes.left);
    let stuck = notes.stuck.map_or(limits.stuck, |last| last.saturating_mul(2));
    [soft, leave, Some(stuck)].into_iter().flatten().min().unwrap_or(stuck)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TimeLimits =
        TimeLimits { soft: Some(Duration::from_secs(1)), stuck: Duration::from_secs(10), leave: Some(Duration::from_secs(25)) };

    #[test]
    fn a_run_is_told_of_at_each_limit_and_whenever_its_time_has_doubled() {
        let (mut notes, mut told) = (Notes::default(), Vec::new());
        for second in 1..=90 {
            let due = due(&LIMITS, &notes, Duration::from_secs(second));
            let next = next_due(&LIMITS, &notes);
            assert_eq!(due.is_nothing(), Duration::from_secs(second) < next, "at {second} s");
            notes.overran |= due.overran;
            notes.stuck = due.stuck.or(notes.stuck);
            notes.left |= due.leave;
            if !due.is_nothing() {
                told.push((second, due.overran, due.stuck.is_some(), due.leave));
            }
        }
        let expected = [(1, true, false, false), (10, false, true, false), (20, false, true, false), (25, false, false, true)];
        assert_eq!(told[..4], expected);
        assert_eq!(told[4..], [(40, false, true, false), (80, false, true, false)]);
    }
}
