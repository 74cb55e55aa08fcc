//! A database connection pool beside the worker's threads: each message in a transaction of its own, undone when the message fails.
//!
//! `cargo run -p bootstep-example-database` needs no broker and no database server: it uses the memory broker and SQLite.

mod transaction;

use bootstep::steps::celery_message_consumer::{CeleryMessageConsumer, MessageHandler, Settings};
use bootstep::steps::SpawnPool;
use bootstep::{headers, BoxError, Broker, MemoryBroker, Message, Outcome, Publication, Value, Worker};
use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use std::time::Duration;
use transaction::{with_connection, InTransaction};

const SOON: Duration = Duration::from_secs(30);

/// A payment must be of an order that exists: which is looked at when the transaction is committed.
const TABLES: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY);
    CREATE TABLE payments (
        id INTEGER PRIMARY KEY,
        order_id INTEGER NOT NULL REFERENCES orders DEFERRABLE INITIALLY DEFERRED,
        amount INTEGER NOT NULL CHECK (amount > 0)
    );
    INSERT INTO orders VALUES (1), (2);
";

/// Two statements: the second may fail after the first was done.
fn pay(body: serde_json::Value, message: &Message) -> Result<Outcome, BoxError> {
    let (order, amount) = (body["order"].as_i64(), body["amount"].as_i64());
    with_connection(|database| {
        database.execute("INSERT INTO payments (order_id, amount) VALUES (?1, 1)", [order])?;
        if message.attempt() == 1 && amount == Some(20) {
            database.execute("INSERT INTO no_such_table VALUES (1)", [])?;
        }
        database.execute("UPDATE payments SET amount = ?1 WHERE id = last_insert_rowid()", [amount])
    })?;
    Ok(Outcome::Ack)
}

fn run() -> Result<Vec<String>, BoxError> {
    let folder = std::env::temp_dir().join(format!("bootstep-example-database-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let manager = SqliteConnectionManager::file(folder.join("shop.db"))
        .with_init(|database| database.execute_batch("PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 10000;"));
    // Fewer connections than threads: who finds none waits for one.
    let pool = Pool::builder().max_size(2).connection_timeout(SOON).build(manager)?;
    pool.get()?.execute_batch(TABLES)?;

    let memory = MemoryBroker::new();
    let mut worker = Worker::new(Broker::from(&memory));
    worker.steps.replace(SpawnPool::of(4));
    let mut handlers = CeleryMessageConsumer::new(Settings::default().prefetch_count(10));
    let hooked = pool.clone();
    handlers.add(
        MessageHandler::new("payments", pay).with(move |consumer| consumer.hook(InTransaction { pool: hooked.clone() })),
    )?;
    worker.steps.add(handlers);
    let running = worker.start()?;
    // Paid; failed once and then paid; refused by a check; refused when it is committed.
    for (order, amount) in [(1, 10), (2, 20), (1, -5), (7, 30)] {
        let body = format!(r#"{{"order": {order}, "amount": {amount}}}"#);
        memory.publish(Publication::new("", "payments", body).content_type("application/json"))?;
    }
    memory.drain(SOON)?;

    let mut lines = Vec::new();
    {
        let database = pool.get()?;
        let mut query = database.prepare("SELECT order_id, amount FROM payments ORDER BY order_id")?;
        let rows = query.query_map([], |row| Ok(format!("order {} paid {}", row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        lines.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    let mut archived: Vec<String> = memory.messages("payments.archived").iter().map(archived).collect();
    archived.sort();
    lines.append(&mut archived);
    // Each of them begins a transaction, which none could that was left inside one.
    let clean: Vec<_> = (0..pool.max_size()).map(|_| pool.get()).collect::<Result<_, _>>()?;
    for connection in &clean {
        assert!(connection.is_autocommit(), "a connection came back inside a transaction");
    }
    lines.push(format!("{} connections, all clean; ended with exit code {}", clean.len(), running.stop()));
    std::fs::remove_dir_all(&folder)?;
    Ok(lines)
}

fn archived(message: &Publication) -> String {
    let reason = message.header(headers::REASON).and_then(Value::as_str).unwrap_or_default();
    format!(
        "archived after {} attempts: {reason}",
        message.header(headers::RETRY_COUNT).and_then(Value::as_i64).unwrap_or(0) + 1
    )
}

fn main() -> Result<(), BoxError> {
    run()?.iter().for_each(|line| println!("{line}"));
    Ok(())
}

#[test]
fn a_failed_transaction_leaves_nothing_and_its_connection_comes_back_clean() {
    let lines = run().unwrap();
    let expected = [
        "order 1 paid 10",
        "order 2 paid 20",
        "archived after 5 attempts: CHECK constraint failed: amount > 0",
        "archived after 5 attempts: a hook could not end: FOREIGN KEY constraint failed",
        "2 connections, all clean; ended with exit code 0",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    // What SQLite calls it comes first; the driver adds a number.
    assert!(lines.iter().zip(expected).all(|(line, expected)| line.starts_with(expected)), "{lines:#?}");
}
