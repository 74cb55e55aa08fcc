//! What a persistent child replies: one line, a word or a JSON object.

use crate::duration;
use crate::message::Publication;
use crate::message_json;
use crate::outcome::Outcome;
use serde_json::{Map, Value as Json};
use std::time::Duration;

/// A reply that is understood.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub outcome: Outcome,
    /// What is to be published before the ack.
    pub publications: Vec<Publication>,
    /// Which message it answers, if it says so.
    pub number: Option<u64>,
}

/// The five words, for whoever wrote another.
const WORDS: &str = "`ack`, `retry: why`, `reject: why`, `archive: why`, `requeue`, or a JSON object with an `outcome`";

/// Reads a line, which is without its end.
///
/// # Errors
/// When it is no reply; the error quotes nothing of it, because it may be a piece of the message.
pub(super) fn read(line: &[u8]) -> Result<Reply, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?.trim();
    if text.starts_with('{') {
        return match serde_json::from_str(text) {
            Ok(object) => object_reply(object),
            Err(err) => Err(format!("it is no JSON object, at column {}", err.column())),
        };
    }
    let (word, reason) = text.split_once(':').unwrap_or((text, ""));
    let outcome = outcome(word.trim(), reason.trim()).ok_or_else(|| format!("write {WORDS}"))?;
    Ok(Reply { outcome, publications: Vec::new(), number: None })
}

fn outcome(word: &str, reason: &str) -> Option<Outcome> {
    let why = if reason.is_empty() { "the program gave no reason" } else { reason };
    Some(match word {
        "ack" => Outcome::Ack,
        "requeue" => Outcome::Requeue,
        "retry" => Outcome::retry(why),
        "reject" => Outcome::reject(why),
        "archive" => Outcome::archive(why),
        _ => return None,
    })
}

fn object_reply(mut object: Map<String, Json>) -> Result<Reply, String> {
    let word = text(&mut object, "outcome")?.ok_or("it has no `outcome`")?;
    let reason = text(&mut object, "reason")?.unwrap_or_default();
    let after = object.remove("after").map(|json| after(&json)).transpose()?;
    let published = object.remove("publish");
    let number = object.remove("number").map(|json| json.as_u64().ok_or("`number` is not a number")).transpose()?;
    // What is misspelt would be done otherwise than it was meant.
    if !object.is_empty() {
        return Err("it has a field beside `outcome`, `reason`, `after`, `publish`, `number`".into());
    }
    let outcome = outcome(&word, &reason).ok_or("`outcome` is not `ack`, `retry`, `reject`, `archive` or `requeue`")?;
    let publications = published.map(publications).transpose()?.unwrap_or_default();
    if !publications.is_empty() && outcome != Outcome::Ack {
        return Err("it has `publish`, which goes with `ack` alone".into());
    }
    match after {
        None => Ok(Reply { outcome, publications, number }),
        Some(delay) if matches!(outcome, Outcome::Retry { .. }) => {
            Ok(Reply { outcome: outcome.after(delay), publications, number })
        }
        Some(_) => Err("it has `after`, which goes with `retry` alone".into()),
    }
}

fn text(object: &mut Map<String, Json>, name: &str) -> Result<Option<String>, String> {
    match object.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is not a text")),
    }
}

fn after(json: &Json) -> Result<Duration, String> {
    let time = json.as_u64().map(Duration::from_millis).or_else(|| duration::parse(json.as_str()?).ok());
    time.ok_or_else(|| "`after` is neither a time such as `30s` nor a number of milliseconds".into())
}

fn publications(json: Json) -> Result<Vec<Publication>, String> {
    let Json::Array(list) = json else { return Err("`publish` is not a list".into()) };
    list.into_iter().map(publication).collect()
}

fn publication(json: Json) -> Result<Publication, String> {
    let mut publication = message_json::publication_from(json).map_err(|why| format!("in `publish`: {why}"))?;
    // As `Message::publish` has it, unless the program says otherwise.
    publication.properties.delivery_mode.get_or_insert(2);
    let to_caller = publication.routing_key.starts_with("amq.rabbitmq.reply-to");
    publication.mandatory = publication.exchange.is_empty() && !to_caller;
    Ok(publication)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, outcome: Outcome) {
        assert_eq!(read(line.as_bytes()), Ok(Reply { outcome, publications: Vec::new(), number: None }));
    }

    #[track_caller]
    fn refused(line: &str, why: &str) {
        let err = read(line.as_bytes()).expect_err("this is no reply");
        assert!(err.contains(why), "{err}");
    }

    #[test]
    fn a_word_is_a_reply() {
        check("ack", Outcome::Ack);
        check(" requeue\r", Outcome::Requeue);
        check("retry: the line: busy ", Outcome::retry("the line: busy"));
        check("reject", Outcome::reject("the program gave no reason"));
        check("archive:by hand", Outcome::archive("by hand"));
    }

    #[test]
    fn an_object_is_a_reply() {
        check(r#"{"outcome": "ack", "publish": []}"#, Outcome::Ack);
        let half_a_minute = Outcome::retry("busy").after(Duration::from_secs(30));
        check(r#"{"outcome": "retry", "reason": "busy", "after": "30s"}"#, half_a_minute.clone());
        check(r#"{"outcome": "retry", "reason": "busy", "after": 30000}"#, half_a_minute);
        let publish =
            r#"{"outcome":"ack","number":7,"publish":[{"routing_key":"q","body":"b"},{"exchange":"e","body_base64":"/w=="}]}"#;
        let first = Publication::new("", "q", "b").mandatory();
        let publications = vec![first, Publication::new("e", "", b"\xff".to_vec())];
        assert_eq!(read(publish.as_bytes()), Ok(Reply { outcome: Outcome::Ack, publications, number: Some(7) }));
    }

    #[test]
    fn what_is_no_reply_says_why_and_quotes_nothing() {
        refused("", "write `ack`");
        refused("ok", "write `ack`");
        refused("ACK", "write `ack`");
        refused("{\"outcome\": ", "no JSON object");
        refused("{}", "no `outcome`");
        refused(r#"{"outcome": "fail"}"#, "`outcome` is not");
        refused(r#"{"outcome": "ack", "afer": 1}"#, "a field beside");
        refused(r#"{"outcome": "ack", "after": 1}"#, "goes with `retry`");
        refused(r#"{"outcome": "retry", "after": "soon"}"#, "`after` is neither");
        refused(r#"{"outcome": "retry", "publish": [{"body": ""}]}"#, "goes with `ack`");
        refused(r#"{"outcome": "ack", "publish": [{}]}"#, "in `publish`: it has neither");
        assert!(!read(b"a secret").unwrap_err().contains("secret"));
    }
}
