//! Which queue a subcommand of `archive` works on, as it is typed and as it is found on the broker.

use crate::broker::{Connection, DeliveryLimit};
use crate::cli::failure::Failure;
use crate::cli::note::{count, note};
use crate::error::Fault;
use crate::topology::Queue;

/// The queue, as it is typed.
#[derive(clap::Args)]
pub(crate) struct Which {
    /// The queue that was consumed: its archive, `QUEUE.archive`, is meant (any other queue: `--exactly`)
    #[arg(value_name = "QUEUE", required_unless_present = "exactly")]
    queue: Option<String>,
    /// Means its dead letters, `QUEUE.dead`, instead of its archive
    #[arg(long)]
    dead: bool,
    /// Means the queue of just this name, whichever it is
    #[arg(long, value_name = "NAME", conflicts_with_all = ["queue", "dead"])]
    exactly: Option<String>,
    /// Does not ask before something that cannot be taken back
    #[arg(short, long)]
    pub yes: bool,
}

/// The queue, as it is on the broker.
pub(crate) struct Found {
    pub name: String,
    /// How many messages it held when it was asked.
    pub messages: u64,
    /// How often it hands out a message that comes back.
    pub limit: DeliveryLimit,
    /// Whether what is handed back without a fault counts as a delivery: up to RabbitMQ 4.2.
    pub counts_looks: bool,
}

impl Which {
    /// The name of the queue that is meant.
    pub fn name(&self) -> String {
        match (&self.exactly, &self.queue) {
            (Some(name), _) => name.clone(),
            (None, queue) => {
                let ending = if self.dead { "dead" } else { "archive" };
                format!("{}.{ending}", queue.as_deref().unwrap_or_default())
            }
        }
    }

    /// The same queue as it would be typed once more.
    pub fn typed(&self) -> String {
        match (&self.exactly, &self.queue) {
            (Some(name), _) => format!("--exactly {}", quoted(name)),
            (None, queue) => {
                let ending = if self.dead { " --dead" } else { "" };
                format!("{}{ending}", quoted(queue.as_deref().unwrap_or_default()))
            }
        }
    }

    /// This asks the broker for it.
    pub fn find(&self, connection: &Connection) -> Result<Found, Failure> {
        let name = self.name();
        let status = connection.declare_queue(&Queue::existing(&*name)).map_err(|err| match err.fault() {
            Fault::NotFound => Failure::broker(self.is_missing(&name)),
            _ => Failure::from(err),
        })?;
        if status.consumers > 0 {
            note(&format!("`{name}` has {}: what is held there is not seen here", count(status.consumers.into(), "consumer")));
        }
        let limit = connection.delivery_limit(&name)?;
        let counts_looks = !connection.is_rabbitmq_from((4, 3, 0));
        Ok(Found { name, messages: status.messages.into(), limit, counts_looks })
    }

    fn is_missing(&self, name: &str) -> String {
        let typed = self.queue.as_deref().unwrap_or_default();
        if let Some(main) = typed.strip_suffix(".archive").or_else(|| typed.strip_suffix(".dead")) {
            return format!(
                "there is no queue `{name}`: name the queue that was consumed, `{main}`, or say `--exactly {typed}`"
            );
        }
        let hint = match (&self.exactly, self.dead) {
            (Some(_), _) => "look at the name and the virtual host",
            (None, false) => {
                "a consumer declares it when it boots; look at the name and the virtual host, say `--dead` for the dead letters, \
                 or `--exactly NAME` for a queue of another name"
            }
            (None, true) => {
                "it is made where messages are rejected; look at the name and the virtual host, leave `--dead` out for the \
                 archive, or say `--exactly NAME` for a queue of another name"
            }
        };
        format!("there is no queue `{name}`: {hint}")
    }
}

/// A name as a shell takes it for one word.
fn quoted(name: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-/:@%+=".contains(character);
    match !name.is_empty() && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_typed_so_that_a_shell_takes_it_for_one_word() {
        let check = |name: &str, expected: &str| assert_eq!(quoted(name), expected);
        check("orders.archive", "orders.archive");
        check("", "''");
        check("my orders; rm", "'my orders; rm'");
        check("it's", r"'it'\''s'");
    }
}
