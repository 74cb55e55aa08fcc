//! `archive show`: everything of a message.

use super::filter::Filter;
use super::look::{Look, Page, Seen};
use super::safe;
use super::walk::Go;
use super::which::Which;
use crate::broker::DeliveryLimit;
use crate::cli::failure::{Done, Failure};
use crate::cli::session::Session;
use crate::message_json::{plain, properties};
use serde_json::Value as Json;
use std::io::Write;

/// So many characters of a body, or of one header, are enough for who has not asked for all.
const TEXT_AT_MOST: usize = 10_000;

/// So many bytes of a body that is no text are shown.
const BYTES_AT_MOST: usize = 512;

/// Shows everything of the first message that is meant: why it is there, its properties, headers and body
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    /// The message of this number in `archive list`
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "all")]
    number: Option<u64>,
    /// All messages that are meant, not only the first
    #[arg(short, long)]
    all: bool,
    /// The whole body, however long it is
    #[arg(short, long)]
    whole: bool,
    /// Prints one JSON object a line, with the whole body
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
}

const EXAMPLES: &str = "\
Examples:
  bootstep archive show orders --number 3
  bootstep archive show orders --message-id 7f3a-41 --whole
  bootstep archive show orders --dead --reason 'cannot be decoded' --all";

impl Show {
    pub fn run(self, session: &Session, out: &mut dyn Write) -> Done {
        let look = Look::begin(session, &self.which, &self.filter)?;
        let look = match self.number {
            Some(number) => look.up_to(number),
            None => look,
        };
        let limit = if self.all { self.filter.limit().unwrap_or(u64::MAX) } else { self.filter.limit().unwrap_or(1) };
        let mut shown = 0;
        look.each(out, |seen, page| {
            if self.number.is_some_and(|number| number != seen.number) {
                return Ok(Go::On);
            }
            match self.json {
                true => writeln!(page, "{}", seen.json(true))?,
                false => self.write(&seen, &look, shown > 0, page)?,
            }
            shown += 1;
            Ok(if shown == limit { Go::Enough } else { Go::On })
        })?;
        let (name, all) = (&look.found.name, look.found.messages);
        match (shown, self.number) {
            (0, Some(number)) => Err(Failure::incomplete(format!(
                "none of the {all} messages in `{name}` has the number {number} and meets all filters; `archive list` tells the numbers"
            ))),
            (0, None) => Err(Failure::incomplete(format!(
                "none of the {all} messages in `{name}` meets all filters; `archive list` tells what there is"
            ))),
            _ => Ok(()),
        }
    }

    fn write(&self, seen: &Seen<'_>, look: &Look<'_>, is_next: bool, page: &mut Page<'_>) -> Result<(), Failure> {
        if is_next {
            writeln!(page)?;
        }
        writeln!(page, "message {} of `{}`", seen.number, safe::line(&look.found.name))?;
        for (name, text) in facts(seen, look) {
            writeln!(page, "  {name:15} {text}")?;
        }
        let mut all = properties(seen.message.properties(), plain);
        let headers = all.remove("headers");
        writeln!(page, "properties")?;
        for (name, value) in &all {
            writeln!(page, "  {name:15} {}", self.text_of(value))?;
        }
        if let Some(Json::Object(headers)) = headers {
            writeln!(page, "headers")?;
            for (name, value) in &headers {
                writeln!(page, "  {:31} {}", safe::line(name), self.text_of(value))?;
            }
        }
        self.write_body(seen.message.body(), page)
    }

    fn text_of(&self, value: &Json) -> String {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if self.whole {
            safe::line(&text)
        } else {
            safe::cut(&text, TEXT_AT_MOST)
        }
    }

    fn write_body(&self, body: &[u8], page: &mut Page<'_>) -> Result<(), Failure> {
        let size = body.len();
        match std::str::from_utf8(body) {
            _ if size == 0 => writeln!(page, "no body")?,
            Ok(text) => match pretty(text) {
                Some(json) => {
                    writeln!(page, "body, {size} bytes of JSON")?;
                    self.write_text(&json, page)?;
                }
                None => {
                    writeln!(page, "body, {size} bytes of text")?;
                    self.write_text(text, page)?;
                }
            },
            Err(_) => {
                writeln!(page, "body, {size} bytes that are no text")?;
                let most = if self.whole { size } else { BYTES_AT_MOST };
                dump(&body[..most.min(size)], page)?;
                cut_here(size.saturating_sub(most), "bytes", page)?;
            }
        }
        Ok(())
    }

    fn write_text(&self, text: &str, page: &mut Page<'_>) -> Done {
        let end = if self.whole { None } else { text.char_indices().nth(TEXT_AT_MOST).map(|(end, _)| end) };
        let (shown, rest) = text.split_at(end.unwrap_or(text.len()));
        writeln!(page, "{}", safe::lines(shown))?;
        cut_here(rest.len(), "bytes", page)
    }
}

/// What is known of how it came here.
fn facts(seen: &Seen<'_>, look: &Look<'_>) -> Vec<(&'static str, String)> {
    let past = &seen.past;
    let exchange = if past.exchange.is_empty() { "the default exchange".into() } else { format!("`{}`", past.exchange) };
    let by = if past.is_by_broker { ", moved here by the broker" } else { "" };
    let attempts = match past.attempts {
        1 => "one attempt".to_owned(),
        several => format!("{several} attempts"),
    };
    let mut facts = vec![
        ("why", safe::line(&past.reason)),
        ("fingerprint", past.fingerprint().id),
        ("where", safe::line(&format!("`{}`, {attempts}{by}", past.queue))),
        ("came by", safe::line(&format!("{exchange}, routing key `{}`", past.routing_key))),
    ];
    if let Some(first) = past.first_failed {
        let age = safe::age(Some(look.matcher.now().saturating_sub(first)));
        facts.insert(2, ("first failed", format!("{}, {age} ago", safe::time(first))));
    }
    if let Some(deliveries) = past.deliveries {
        let of = if let DeliveryLimit::At(limit) = look.found.limit { format!(" of {limit}") } else { String::new() };
        facts.push(("returned", format!("{deliveries}{of} times")));
    }
    if let Some(flaw) = seen.message.flaw() {
        facts.push(("flaw", safe::line(flaw)));
    }
    facts
}

/// JSON with a line for each value, if it is JSON that has several.
fn pretty(text: &str) -> Option<String> {
    let json: Json = serde_json::from_str(text).ok()?;
    // A number that does not fit would not be shown as it is.
    let is_same = |pretty: &str| pretty.chars().filter(char::is_ascii_digit).eq(text.chars().filter(char::is_ascii_digit));
    serde_json::to_string_pretty(&json).ok().filter(|pretty| is_same(pretty))
}

fn cut_here(bytes: usize, what: &str, page: &mut Page<'_>) -> Done {
    if bytes > 0 {
        writeln!(page, "… and {bytes} {what} more; `--whole` shows them")?;
    }
    Ok(())
}

/// Sixteen bytes a line, as `hexdump -C` has them.
fn dump(bytes: &[u8], page: &mut Page<'_>) -> Done {
    for (line, sixteen) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = sixteen.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = sixteen.iter().map(|byte| if (0x20..0x7f).contains(byte) { *byte as char } else { '.' }).collect();
        writeln!(page, "{:08x}  {:47}  {text}", line * 16, hex.join(" "))?;
    }
    Ok(())
}
