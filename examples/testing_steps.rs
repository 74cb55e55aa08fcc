//! Testing steps of one's own: a handler alone, a worker with an hour between attempts, a step's requirement, a broker that goes
//! away. No RabbitMQ, no sleeps, no waiting: the clock of the memory broker is turned by hand.
//!
//! `cargo test --example testing_steps` runs the tests at the end of this file; `cargo run --example testing_steps` shows an hour
//! in no time.

use bootstep::{
    BoxError, Broker, Consumer, ConsumerStep, Context, Error, Exchange, Handler, Json, MemoryBroker, Message, Outcome,
    Publication, Queue, RetryPolicy, Step, Worker,
};
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
/// Real time: far more than anything here takes.
const SOON: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Order {
    pieces: u64,
}

/// How many pieces there are.
#[derive(Clone, Default)]
struct Shelf(Arc<AtomicU64>);

impl Shelf {
    fn put(&self, pieces: u64) {
        self.0.fetch_add(pieces, Ordering::SeqCst);
    }

    /// Says whether there were so many.
    fn take(&self, pieces: u64) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |there| there.checked_sub(pieces)).is_ok()
    }
}

/// The handler.
struct PackOrders {
    shelf: Shelf,
}

impl Handler for PackOrders {
    type Body = Json<Order>;

    fn handle(&self, order: Json<Order>, message: &Message) -> Result<Outcome, BoxError> {
        if !self.shelf.take(order.pieces) {
            return Ok(Outcome::retry("not enough on the shelf"));
        }
        message.publish("shop", "packed", format!("{} pieces", order.pieces));
        Ok(Outcome::Ack)
    }
}

/// The step that consumes.
struct ConsumeOrders {
    shelf: Shelf,
}

impl ConsumerStep for ConsumeOrders {
    fn consumers(&self) -> Vec<Consumer> {
        let queue = Queue::new("orders").bind("shop", "order.*");
        let consumer = Consumer::handled_by(queue, PackOrders { shelf: self.shelf.clone() });
        vec![consumer.exchange(Exchange::topic("shop")).retry(RetryPolicy::fixed(HOUR, 3))]
    }

    fn also_requires(&self) -> Vec<Cow<'static, str>> {
        vec![FillShelf::NAME.into()]
    }
}

/// The step that it requires: without it, nothing would ever be packed.
struct FillShelf {
    shelf: Shelf,
    pieces: u64,
}

impl FillShelf {
    const NAME: &'static str = "fill-shelf";
}

impl Step for FillShelf {
    fn name(&self) -> Cow<'_, str> {
        FillShelf::NAME.into()
    }

    fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
        if self.pieces == 0 {
            return Err("there is nothing to fill the shelf with".into());
        }
        self.shelf.put(self.pieces);
        ctx.provide(self.shelf.clone());
        Ok(())
    }
}

/// The worker as `main` would run it on RabbitMQ, and as the tests do on the memory broker.
fn worker(broker: Broker, shelf: &Shelf, pieces: u64) -> Worker {
    let mut worker = Worker::new(broker);
    worker.steps.add(FillShelf { shelf: shelf.clone(), pieces }).add(ConsumeOrders { shelf: shelf.clone() });
    worker
}

fn order(body: &str) -> Publication {
    Publication::new("shop", "order.web", body)
}

fn main() -> Result<(), Error> {
    let (memory, shelf) = (MemoryBroker::new(), Shelf::default());
    let running = worker(Broker::from(&memory), &shelf, 1).start()?;
    memory.declare_queue(&Queue::new("packed").bind("shop", "packed"))?;
    let begun = memory.now();

    memory.publish(order(r#"{"pieces": 3}"#))?;
    memory.rest(SOON)?;
    println!("after no time: waiting {:?}, packed {:?}", memory.texts("orders.retry.3600s"), memory.texts("packed"));
    shelf.put(2);
    memory.drain(SOON)?;
    println!("after {:?}: packed {:?}", memory.now() - begun, memory.texts("packed"));
    println!("ended with exit code {}", running.stop());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstep::{headers, Fault, Running};
    use std::sync::mpsc;

    #[test]
    fn the_example_runs() {
        main().unwrap();
    }

    // A handler is called as any function is.

    fn handle(shelf: &Shelf, message: &Message) -> Outcome {
        let handler = PackOrders { shelf: shelf.clone() };
        handler.handle(Json(Order { pieces: 3 }), message).unwrap()
    }

    #[test]
    fn an_order_is_taken_from_the_shelf_and_told_of() {
        let (shelf, message) = (Shelf::default(), Message::from_publication(order("")));
        shelf.put(5);
        assert_eq!(handle(&shelf, &message), Outcome::Ack);
        assert_eq!(shelf.0.load(Ordering::SeqCst), 2);
        let published = message.published();
        assert_eq!(published, [Publication::new("shop", "packed", "3 pieces")]);
    }

    #[test]
    fn an_order_for_more_than_there_is_takes_nothing() {
        let (shelf, message) = (Shelf::default(), Message::from_publication(order("")));
        shelf.put(2);
        assert_eq!(handle(&shelf, &message), Outcome::retry("not enough on the shelf"));
        assert_eq!(shelf.0.load(Ordering::SeqCst), 2);
        assert!(message.published().is_empty());
    }

    // A worker runs as it would anywhere, on a broker in this process.

    struct Shop {
        memory: MemoryBroker,
        shelf: Shelf,
        /// Dropped with the test: then the worker ends.
        _running: Running,
    }

    fn shop(pieces: u64) -> Shop {
        let (memory, shelf) = (MemoryBroker::new(), Shelf::default());
        let running = worker(Broker::from(&memory), &shelf, pieces).start().unwrap();
        memory.declare_queue(&Queue::new("packed").bind("shop", "packed")).unwrap();
        Shop { memory, shelf, _running: running }
    }

    #[test]
    fn an_order_is_packed() {
        let Shop { memory, .. } = &shop(3);
        memory.publish(order(r#"{"pieces": 3}"#)).unwrap();
        memory.rest(SOON).unwrap();
        assert_eq!(memory.texts("packed"), ["3 pieces"]);
    }

    #[test]
    fn an_order_waits_an_hour_for_the_shelf_to_be_filled() {
        let Shop { memory, shelf, .. } = &shop(1);
        memory.publish(order(r#"{"pieces": 3}"#)).unwrap();
        memory.rest(SOON).unwrap();
        shelf.put(2);
        memory.advance(HOUR - Duration::from_secs(1));
        memory.rest(SOON).unwrap();
        assert!(memory.texts("packed").is_empty());

        memory.advance(Duration::from_secs(1));
        memory.rest(SOON).unwrap();
        assert_eq!(memory.texts("packed"), ["3 pieces"]);
    }

    #[test]
    fn an_order_that_was_tried_for_three_hours_is_archived_and_says_why() {
        let Shop { memory, .. } = &shop(1);
        let begun = memory.now();
        memory.publish(order(r#"{"pieces": 3}"#)).unwrap();
        // Turns the clock to each retry.
        memory.drain(SOON).unwrap();
        assert_eq!(memory.now() - begun, 3 * HOUR);
        let archived = memory.messages("orders.archive");
        assert_eq!(archived.len(), 1);
        assert_eq!(archived[0].body(), br#"{"pieces": 3}"#);
        assert_eq!(archived[0].header(headers::REASON), Some(&"not enough on the shelf".into()));
        assert_eq!(archived[0].header(headers::RETRIES), Some(&3.into()));
    }

    #[test]
    fn what_is_no_order_goes_to_the_dead_letters_at_once() {
        let Shop { memory, .. } = &shop(3);
        memory.publish(order("three pieces, please")).unwrap();
        memory.rest(SOON).unwrap();
        assert_eq!(memory.texts("orders.dead"), ["three pieces, please"]);
    }

    // What a step requires and provides.

    #[test]
    fn nothing_is_consumed_without_a_filled_shelf() {
        let broker = Broker::from(&MemoryBroker::new());
        let err = worker(broker.clone(), &Shelf::default(), 0).start().unwrap_err();
        assert_eq!(err.to_string(), "step `fill-shelf` did not start: there is nothing to fill the shelf with");

        let mut without = worker(broker, &Shelf::default(), 1);
        without.steps.remove(FillShelf::NAME);
        assert_eq!(without.start().unwrap_err().fault(), Fault::Blueprint);
    }

    /// Stands on the step under test, and shows what that provides.
    struct Look(mpsc::Sender<u64>);

    impl Step for Look {
        fn name(&self) -> Cow<'_, str> {
            "look".into()
        }

        fn requires(&self) -> Vec<Cow<'static, str>> {
            vec![FillShelf::NAME.into()]
        }

        fn start(&mut self, ctx: &mut Context) -> Result<(), BoxError> {
            Ok(self.0.send(ctx.get::<Shelf>()?.0.load(Ordering::SeqCst))?)
        }
    }

    #[test]
    fn a_filled_shelf_is_provided_to_later_steps() {
        let (seen, see) = mpsc::channel();
        let mut worker = Worker::bare(Broker::from(&MemoryBroker::new()));
        worker.steps.add(Look(seen)).add(FillShelf { shelf: Shelf::default(), pieces: 7 });
        let running = worker.start().unwrap();
        assert_eq!(see.recv(), Ok(7));
        assert_eq!(running.stop(), 0);
    }

    // A broker that goes away.

    #[test]
    fn orders_that_come_while_the_worker_is_cut_off_are_packed_when_it_is_back() {
        let Shop { memory, .. } = &shop(6);
        memory.stop_listening();
        memory.sever();
        memory.publish(order(r#"{"pieces": 3}"#)).unwrap();
        memory.publish(order(r#"{"pieces": 2}"#)).unwrap();
        memory.advance(HOUR);
        assert_eq!(memory.texts("orders").len(), 2);

        memory.listen();
        memory.until("the worker is back", SOON, |memory| memory.consumers("orders") == 1).unwrap();
        memory.drain(SOON).unwrap();
        let mut packed = memory.texts("packed");
        // Handlers run side by side, so either may be done first; `Consumer::concurrency` of 1 would keep the order.
        packed.sort();
        assert_eq!(packed, ["2 pieces", "3 pieces"]);
    }
}
