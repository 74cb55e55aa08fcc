//! `check`: what is wrong with the settings, what would be declared, and what the broker would say to it.

mod at_broker;
mod row;

use super::failure::{Done, Failure};
use super::session::Session;
use crate::broker::Broker;
use crate::config::{Config, Configured, Remark};
use crate::consumer::{topology_of, Consumer};
use crate::error::Error;
use crate::remedy::with_remedy;
use crate::topology::{Exchange, Topology};
use row::{Row, State};
use serde_json::json;
use std::io::Write;

/// Tells every mistake in the configuration at once, and what would be declared; runs nothing
///
/// What is allowed and probably not meant is a warning. With `--broker` it connects, and tells what the broker has already, has in
/// another way, or refuses; it creates and changes nothing there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  bootstep check -c bootstep.toml
  bootstep check -c bootstep.toml --broker
  bootstep check -c bootstep.toml --json | jq 'select(.kind == \"mistake\")'")]
pub(crate) struct Check {
    /// Connects as well, and compares with what the broker has
    #[arg(long)]
    broker: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        let worker = session.worker();
        let sources = session.sources()?;
        if sources.file.is_none() && sources.set.is_empty() && worker.is_none() {
            return Err(Failure::usage("there is nothing to check: name a configuration file with `-c`"));
        }
        let config = match Config::read(&sources, true) {
            Ok(config) => config,
            Err(mistakes) => return self.tell_mistakes(&mistakes, out),
        };
        let mut consumers: Vec<Consumer> =
            worker.iter().flat_map(|worker| worker.steps.iter()).flat_map(|step| step.brings()).collect();
        consumers.extend(config.consumers().iter().map(|configured| configured.consumer.clone()));
        let mut declared = topology_of(&consumers)?;
        if config.consumers().is_empty() {
            declared.exchanges.extend(config.topology().exchanges.iter().cloned());
            declared.queues.extend(config.topology().queues.iter().cloned());
        }
        let mut doubts = config.doubts().to_vec();
        if consumers.is_empty() {
            let place = sources.file.map_or_else(|| "--set".to_owned(), |file| file.display().to_string());
            doubts.push(Remark {
                place,
                what: "nothing is consumed; add `[consumers.NAME]` with `run = [\"./program\"]`".into(),
            });
        }
        let plan = Plan { consumers, declared };
        self.tell_doubts(&doubts, out)?;
        if !self.broker {
            let rows = plan.rows(false);
            self.tell_rows(&rows, out)?;
            return self.tell_consumers(config.consumers(), out);
        }
        self.at_broker(&plan, &session.broker_of(&config), config.consumers(), out)
    }

    fn at_broker(&self, plan: &Plan, broker: &Broker, consumers: &[Configured], out: &mut dyn Write) -> Done {
        let connection = broker.connect("bootstep check").map_err(away)?;
        let (rows, unfit) = at_broker::compared(plan, &connection)?;
        self.tell_rows(&rows, out)?;
        self.tell_consumers(consumers, out)?;
        let bad = rows.iter().filter(|row| row.is_refused()).count() + unfit.len();
        for what in &unfit {
            match self.json {
                true => writeln!(out, "{}", json!({"kind": "refusal", "what": what}))?,
                false => writeln!(out, "refused: {what}")?,
            }
        }
        if !self.json {
            let counted = |state: fn(&State) -> bool| rows.iter().filter(|row| row.state.as_ref().is_some_and(state)).count();
            let (there, to_be) = (counted(|it| *it == State::AsWanted), counted(|it| *it == State::ToBeDeclared));
            let (server, place) = (connection.server(), connection.place());
            writeln!(out, "{server} at {place}: {there} as wanted, {to_be} to be declared, {bad} in the way")?;
        }
        match bad {
            0 => Ok(()),
            _ if self.json => Err(Failure::broker("")),
            1 => Err(Failure::broker("one of them is missing, in another way, or refused; mend it as said above")),
            _ => {
                Err(Failure::broker(format!("{bad} of them are missing, in another way, or refused; mend them as said above")))
            }
        }
    }

    fn tell_mistakes(&self, mistakes: &[Remark], out: &mut dyn Write) -> Done {
        if self.json {
            for Remark { place, what } in mistakes {
                writeln!(out, "{}", json!({"kind": "mistake", "place": place, "what": what}))?;
            }
            return Err(Failure::usage(""));
        }
        Err(Failure::from(crate::config::error_of(mistakes)))
    }

    fn tell_doubts(&self, doubts: &[Remark], out: &mut dyn Write) -> Done {
        for Remark { place, what } in doubts {
            match self.json {
                true => writeln!(out, "{}", json!({"kind": "warning", "place": place, "what": what}))?,
                false => writeln!(out, "warning: {place}: {what}")?,
            }
        }
        Ok(())
    }

    fn tell_rows(&self, rows: &[Row], out: &mut dyn Write) -> Done {
        let widest = |column: fn(&Row) -> String| rows.iter().map(|row| column(row).chars().count()).max().unwrap_or_default();
        let widths = [widest(|row| row.name.clone()), widest(Row::about)];
        for row in rows {
            match self.json {
                true => writeln!(out, "{}", row.as_json())?,
                false => writeln!(out, "{}", row.as_line(widths).trim_end())?,
            }
        }
        Ok(())
    }

    fn tell_consumers(&self, consumers: &[Configured], out: &mut dyn Write) -> Done {
        for Configured { name, consumer, handling, .. } in consumers {
            let queue = &consumer.queue().name;
            match self.json {
                true => writeln!(
                    out,
                    "{}",
                    json!({"kind": "consumer", "name": name, "queue": queue, "does": handling, "prefetch": consumer.subscription().prefetch})
                )?,
                false => writeln!(out, "consumer  {name}: takes from `{queue}`, {handling}")?,
            }
        }
        Ok(())
    }
}

fn away(err: Error) -> Failure {
    match Failure::from(err) {
        // A certificate's file that is missing is a setting, and yet it is the broker that could not be reached.
        failure if failure.code == crate::worker::EXIT_CONFIG => failure,
        failure => Failure::broker(failure.what),
    }
}

/// Everything that a worker would declare.
struct Plan {
    consumers: Vec<Consumer>,
    declared: Topology,
}

impl Plan {
    /// All of it, in the order in which it is declared, each thing once.
    fn rows(&self, quorum_archive: bool) -> Vec<Row> {
        let mut rows: Vec<Row> = self.declared.exchanges.iter().map(Row::of_exchange).collect();
        let named = |name: &String| !name.is_empty() && !name.starts_with("amq.");
        for queue in &self.declared.queues {
            for binding in queue.bindings.iter().filter(|binding| named(&binding.exchange)) {
                if !rows.iter().any(|row| row.is_exchange(&binding.exchange)) {
                    rows.push(Row::of_exchange(&Exchange::existing(&*binding.exchange)));
                }
            }
        }
        rows.extend(self.declared.queues.iter().map(Row::of_queue));
        for consumer in &self.consumers {
            let around = consumer.queues_around(&self.declared);
            let Topology { exchanges, queues } = consumer.beside(&self.declared, quorum_archive);
            let beside = exchanges.iter().map(Row::of_exchange).chain(queues.iter().map(Row::of_queue));
            for mut row in beside {
                row.beside = Some(consumer.queue().name.clone());
                row.is_lenient = around.lenient_archive().as_deref() == Some(&*row.name);
                if !rows.iter().any(|other| other.is_same(&row)) {
                    rows.push(row);
                }
            }
        }
        rows
    }

    /// What the broker is too old for.
    fn unfit(&self, connection: &crate::broker::Connection) -> Vec<String> {
        let checked = self.consumers.iter().filter_map(|consumer| consumer.check_broker(connection).err());
        checked.map(|err| with_remedy(&err)).collect()
    }
}
