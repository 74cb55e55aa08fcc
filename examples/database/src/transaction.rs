//! A hook that puts a database transaction around each message: what a handler writes stands only if it said that its message is done.
//!
//! It is committed before the message is acked: who is cut off in between gets the message once more. What must not be written
//! twice needs a key that the database knows it by.

use bootstep::{BoxError, Hook, Message, Outcome};
use r2d2::{Pool, PooledConnection};
use r2d2_sqlite::{rusqlite, SqliteConnectionManager};
use std::cell::RefCell;

type Connection = PooledConnection<SqliteConnectionManager>;

thread_local! {
    /// The connection of the message that this thread handles: a hook runs on the thread that runs the handler.
    static IN_USE: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// Takes a connection from the pool and begins a transaction before each message; commits it when the handler acks, undoes it
/// otherwise, and gives the connection back clean.
pub struct InTransaction {
    pub pool: Pool<SqliteConnectionManager>,
}

/// This runs with the connection of the current message.
///
/// # Errors
/// What the database says; or that no transaction has begun on this thread.
pub fn with_connection<T>(run: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>) -> Result<T, BoxError> {
    IN_USE.with_borrow(|connection| match connection {
        Some(connection) => Ok(run(connection)?),
        None => Err("no transaction has begun: is the hook `InTransaction` on this consumer?".into()),
    })
}

impl Hook for InTransaction {
    fn begin(&self, _message: &Message) -> Result<(), BoxError> {
        let connection = self.pool.get()?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        IN_USE.set(Some(connection));
        Ok(())
    }

    fn end(&self, _message: &Message, outcome: &Outcome) -> Result<(), BoxError> {
        let Some(connection) = IN_USE.take() else { return Ok(()) };
        if *outcome != Outcome::Ack {
            return Ok(connection.execute_batch("ROLLBACK")?);
        }
        // A commit that fails leaves its transaction open, and the next message would find itself inside.
        connection.execute_batch("COMMIT").map_err(|err| match connection.execute_batch("ROLLBACK") {
            Ok(()) => err.into(),
            Err(undo) => format!("{err}; nor could it be undone: {undo}").into(),
        })
    }

    fn failed(&self, _message: &Message, _reason: &str) {
        // Dropped with an error, the connection goes back to the pool, which asks `is_valid` of it before it lends it again.
        if let Some(connection) = IN_USE.take() {
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}
