//! The publisher of a run: numbers in order, in windows of confirms; what it could not make sure of, it gives another number.

use crate::fate::{publication, RAW};
use crate::settings::Settings;
use crate::support::pass;
use crate::support::raw::{long, nested, short, RawProperties, RawPublisher};
use bootstep::{Broker, Connection};
use std::ops::Range;
use std::time::{Duration, Instant};

/// What has been published.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Confirmed by the broker: these must be somewhere.
    pub confirmed: Vec<Range<u64>>,
    /// Sent and not confirmed: these may be somewhere, and then must be where they belong.
    pub uncertain: Vec<Range<u64>>,
    next: u64,
}

const WINDOW: u64 = 200;
/// During an alarm the broker confirms nothing.
const PATIENCE: Duration = Duration::from_secs(15);

impl Published {
    pub fn count(&self) -> u64 {
        self.confirmed.iter().map(|numbers| numbers.end - numbers.start).sum()
    }

    pub fn is_confirmed(&self, number: u64) -> bool {
        self.confirmed.iter().any(|numbers| numbers.contains(&number))
    }

    pub fn is_known(&self, number: u64) -> bool {
        self.is_confirmed(number) || self.uncertain.iter().any(|numbers| numbers.contains(&number))
    }

    /// Publishes until so many more are confirmed, over as long a time as `over` says; through all faults, up to a deadline.
    pub fn publish(&mut self, url: &str, settings: &Settings, messages: u64, over: Duration) -> Result<(), String> {
        let broker = Broker::amqp(url).map_err(|err| err.to_string())?;
        let (began, goal) = (Instant::now(), self.count() + messages);
        let due = began + over + Duration::from_secs(120);
        let mut connection: Option<Connection> = None;
        while self.count() < goal {
            if Instant::now() > due {
                return Err(format!("the publisher is {} messages behind, two minutes late", goal - self.count()));
            }
            let Some(open) = connection.take().or_else(|| broker.connect("publisher").ok()) else {
                pass(Duration::from_millis(100));
                continue;
            };
            let numbers = self.next..self.next + WINDOW.min(goal - self.count());
            self.next = numbers.end;
            let publications: Vec<_> = numbers.clone().map(|number| publication(settings, number)).collect();
            match open.publish(&publications, PATIENCE) {
                Ok(()) => {
                    self.confirmed.push(numbers);
                    connection = Some(open);
                }
                Err(_) => {
                    self.uncertain.push(numbers);
                    open.close(Duration::from_secs(1));
                    pass(Duration::from_millis(100));
                }
            }
            let left = goal.saturating_sub(self.count());
            let planned = over.mul_f64(1.0 - left as f64 / messages as f64);
            pass(planned.saturating_sub(began.elapsed()));
        }
        Ok(())
    }

    /// Publishes messages that no client library would: to be called while nothing is broken.
    pub fn publish_raw(&mut self, url: &str, settings: &Settings, messages: u64) {
        const HEADERS: u16 = 1 << 13;
        const MESSAGE_ID: u16 = 1 << 7;
        let mut raw = RawPublisher::connect(url);
        for number in RAW..RAW + messages {
            let table = match number % 2 {
                0 => long(&[short(b"caf\xe9"), vec![b't', 1]].concat()),
                _ => long(&nested(200)),
            };
            let list = [table, short(number.to_string().as_bytes())].concat();
            let properties = RawProperties { flags: HEADERS | MESSAGE_ID, list: &list };
            let body = crate::fate::body(number);
            raw.publish(b"", settings.queue.as_bytes(), &properties, body.as_bytes()).expect("the broker takes it");
        }
        self.confirmed.push(RAW..RAW + messages);
    }
}
