//! `archive group`: how many messages there are for each sort of reason.

use super::filter::Filter;
use super::look::{Look, Seen};
use super::safe;
use super::walk::Go;
use super::which::Which;
use crate::cli::failure::Done;
use crate::cli::note::count;
use crate::cli::session::Session;
use serde_json::json;
use std::collections::HashMap;
use std::io::Write;

/// Whoever has more sorts of failures than this does not read them; it bounds the memory.
const GROUPS_AT_MOST: usize = 10_000;

/// So much of an example is kept.
const EXAMPLE_AT_MOST: usize = 200;

/// Counts messages by the queue they failed in and the sort of their reason
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Group {
    #[command(flatten)]
    which: Which,
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

const EXAMPLES: &str = "\
Reasons are of one sort if they differ in nothing but numbers, ids, addresses, times and quoted
texts. Messages that the broker moved itself are grouped by its reason (rejected, expired, pushed
out, over the delivery limit) and the queue they came from.

Examples:
  bootstep archive group orders
  bootstep archive group orders --newer-than 1d --json";

/// Messages that failed for one sort of reason.
struct Sort {
    queue: String,
    pattern: String,
    example: String,
    count: u64,
    /// When the first and the last of them failed first.
    between: Option<(u64, u64)>,
}

impl Group {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        let look = Look::begin(session, &self.which, &self.filter)?;
        let (name, all) = (&look.found.name, look.found.messages);
        if all == 0 {
            return look.note(&format!("`{name}` is empty"));
        }
        let (mut sorts, mut others, mut counted) = (HashMap::new(), 0_u64, 0);
        let limit = self.filter.limit().unwrap_or(u64::MAX);
        look.each(out, |seen, _| {
            others += u64::from(!add(&mut sorts, &seen));
            counted += 1;
            Ok(if counted == limit { Go::Enough } else { Go::On })
        })?;
        let mut sorts: Vec<(String, Sort)> = sorts.into_iter().collect();
        sorts.sort_by(|(id, sort), (other_id, other)| other.count.cmp(&sort.count).then_with(|| id.cmp(other_id)));
        for (id, sort) in &sorts {
            match self.json {
                true => writeln!(out, "{}", sort.json(id, &look))?,
                false => sort.write(id, &look, out)?,
            }
        }
        if others > 0 {
            look.note(&format!("{others} more are of other sorts: only the first {GROUPS_AT_MOST} are counted apart"))?;
        }
        look.note(&format!("{} of reasons for {counted} of {all} messages in `{name}`", count(sorts.len() as u64, "sort")))
    }
}

/// Whether there was room for it.
fn add(sorts: &mut HashMap<String, Sort>, seen: &Seen<'_>) -> bool {
    let fingerprint = seen.past.fingerprint();
    if sorts.len() >= GROUPS_AT_MOST && !sorts.contains_key(&fingerprint.id) {
        return false;
    }
    let sort = sorts.entry(fingerprint.id).or_insert_with(|| Sort {
        queue: seen.past.queue.to_owned(),
        pattern: fingerprint.pattern,
        example: seen.past.reason.chars().take(EXAMPLE_AT_MOST).collect(),
        count: 0,
        between: None,
    });
    sort.count += 1;
    if let Some(time) = seen.past.first_failed {
        let (first, last) = sort.between.unwrap_or((time, time));
        sort.between = Some((first.min(time), last.max(time)));
    }
    true
}

impl Sort {
    fn replay(&self, id: &str, look: &Look<'_>) -> String {
        let program = look.session.definition();
        format!("{} archive replay {} --fingerprint {id}", program.get_name(), look.which.typed())
    }

    fn write(&self, id: &str, look: &Look<'_>, out: &mut dyn Write) -> Done {
        writeln!(out, "{} in `{}`: {}", self.count, safe::line(&self.queue), safe::line(&self.pattern))?;
        writeln!(out, "  fingerprint  {id}")?;
        if let Some((first, last)) = self.between {
            let ago = |time: u64| safe::age(Some(look.matcher.now().saturating_sub(time)));
            writeln!(
                out,
                "  failed       from {} ({} ago) to {} ({} ago)",
                safe::time(first),
                ago(first),
                safe::time(last),
                ago(last)
            )?;
        }
        writeln!(out, "  for example  {}", safe::line(&self.example))?;
        writeln!(out, "  replay       {}", self.replay(id, look))?;
        Ok(())
    }

    fn json(&self, id: &str, look: &Look<'_>) -> serde_json::Value {
        json!({
            "fingerprint": id,
            "queue": self.queue,
            "count": self.count,
            "pattern": self.pattern,
            "example": self.example,
            "first_failed": self.between.map(|(first, _)| first),
            "last_failed": self.between.map(|(_, last)| last),
            "replay": self.replay(id, look),
        })
    }
}
