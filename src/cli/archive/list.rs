//! `archive list`: one line for each message.

use super::filter::Filter;
use super::look::{Look, Page, Seen};
use super::safe;
use super::walk::Go;
use super::which::Which;
use crate::broker::DeliveryLimit;
use crate::cli::failure::{Done, Failure};
use crate::cli::session::Session;
use std::io::Write;

/// No line is so narrow that nothing of the reason is seen.
const REASON_AT_LEAST: usize = 20;

/// Where it came from has so many characters, and fewer where the reason would have no room.
const FROM: usize = 24;
const FROM_NARROW: usize = 14;

/// A terminal that is narrower has no room for both.
const NARROW: usize = 100;

/// Lists messages, oldest first, with the reason why each is there
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
    /// Prints one JSON object a line, without the bodies
    #[arg(long)]
    json: bool,
    /// Prints the bodies as well; `show` prints them for people
    #[arg(long, requires = "json")]
    bodies: bool,
    #[command(flatten)]
    filter: Filter,
}

const EXAMPLES: &str = "\
Examples:
  bootstep archive list orders
  bootstep archive list orders --newer-than 1h --reason 'timed out'
  bootstep archive list orders --dead --header tenant=7 --json
  bootstep archive list --exactly orders.errors --body /order/id=4711";

impl List {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        let look = Look::begin(session, &self.which, &self.filter)?;
        let (name, all) = (&look.found.name, look.found.messages);
        if all == 0 {
            return look.note(&format!("`{name}` is empty"));
        }
        let line = Line::of(&look);
        if !self.json {
            line.head(out)?;
        }
        let mut listed = 0;
        let limit = self.filter.limit().unwrap_or(u64::MAX);
        look.each(out, |seen, page| {
            match self.json {
                true => writeln!(page, "{}", seen.json(self.bodies))?,
                false => line.write(&seen, &look, page)?,
            }
            listed += 1;
            Ok(if listed == limit { Go::Enough } else { Go::On })
        })?;
        look.note(&format!("{listed} of {all} messages in `{name}`"))
    }
}

/// How a line is laid out.
struct Line {
    number: usize,
    limit: Option<u32>,
    from: usize,
    width: usize,
}

impl Line {
    fn of(look: &Look<'_>) -> Self {
        let limit = if let DeliveryLimit::At(limit) = look.found.limit { Some(limit) } else { None };
        let width = width();
        let from = if width < NARROW { FROM_NARROW } else { FROM };
        Line { number: look.found.messages.to_string().len().max(3), limit, from, width }
    }

    fn head(&self, out: &mut dyn Write) -> Done {
        let deliveries = if self.limit.is_some() { "RETURNED  " } else { "" };
        let Line { number, from, .. } = *self;
        writeln!(out, "{:>number$}  {:>9}  {deliveries}TRIES  {:from$}  {:>9}  REASON", "NO.", "AGE", "FROM", "SIZE")?;
        Ok(())
    }

    fn write(&self, seen: &Seen<'_>, look: &Look<'_>, page: &mut Page<'_>) -> Result<(), Failure> {
        let (past, number, width) = (&seen.past, self.number, self.from);
        let deliveries = match self.limit {
            Some(limit) => format!("{:>8}  ", format!("{}/{limit}", past.deliveries.unwrap_or(0))),
            None => String::new(),
        };
        let from = match past.exchange {
            "" => safe::cut(past.routing_key, width),
            exchange => safe::cut(&format!("{exchange} {}", past.routing_key), width),
        };
        let line = format!(
            "{:>number$}  {:>9}  {deliveries}{:>5}  {from:width$}  {:>9}  ",
            seen.number,
            safe::age(look.age(seen)),
            past.attempts,
            safe::size(seen.message.body().len()),
        );
        let room = self.width.saturating_sub(line.chars().count()).max(REASON_AT_LEAST);
        Ok(writeln!(page, "{line}{}", safe::cut(&past.reason, room))?)
    }
}

/// How wide the terminal is, or `COLUMNS` says; without both, nothing has to be cut.
fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    told.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into())).unwrap_or(usize::MAX)
}
