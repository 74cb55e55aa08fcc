//! amqp-dispatcher's configuration, consumers and instances: what a file declares, who handles a message, and what becomes of it.

mod declaring;
mod environment;
mod instances;
mod process;
mod responses;
mod validating;

use bootstep::steps::amqp_dispatcher::{AmqpDispatcher, DispatchedConsumer, Proxy};
use bootstep::{BoxError, Broker, Message, RetryPolicy, Running};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A consumer made of two closures.
struct Scripted<C, S> {
    consume: C,
    shutdown: S,
}

impl<C, S> DispatchedConsumer for Scripted<C, S>
where
    C: FnMut(&Proxy<'_>, &Message) -> Result<(), BoxError> + Send + 'static,
    S: FnMut(Option<String>) + Send + 'static,
{
    fn consume(&mut self, proxy: &Proxy<'_>, message: &Message) -> Result<(), BoxError> {
        (self.consume)(proxy, message)
    }

    fn shutdown(&mut self, exception: Option<&(dyn Error + 'static)>) {
        (self.shutdown)(exception.map(ToString::to_string));
    }
}

fn scripted<C, S>(consume: C, shutdown: S) -> Scripted<C, S>
where
    C: FnMut(&Proxy<'_>, &Message) -> Result<(), BoxError> + Send + 'static,
    S: FnMut(Option<String>) + Send + 'static,
{
    Scripted { consume, shutdown }
}

/// What happened, in order, by any thread.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, event: &str) -> usize {
        self.events().iter().filter(|noted| *noted == event).count()
    }
}

/// Knows `test:Consumer`, each instance of which does this with a message.
fn dispatcher<F>(consume: F) -> AmqpDispatcher
where
    F: Fn(&Proxy<'_>, &Message) -> Result<(), BoxError> + Clone + Send + Sync + 'static,
{
    let make = move || Ok(scripted(consume.clone(), |_| {}));
    quick(AmqpDispatcher::new().consumer("test:Consumer", make))
}

/// Two retries, soon.
fn quick(dispatcher: AmqpDispatcher) -> AmqpDispatcher {
    dispatcher.retry(RetryPolicy::fixed(Duration::from_millis(50), 2))
}

/// One consumer of `work`, with these lines in its entry.
fn config(entry: &str) -> String {
    format!("queues:\n- queue: work\nconsumers:\n- consumer: test:Consumer\n  queue: work\n{entry}")
}

#[track_caller]
fn start(dispatcher: &AmqpDispatcher, config: &str, broker: &Broker) -> Running {
    dispatcher.worker(config, broker.clone()).unwrap().start().unwrap()
}
