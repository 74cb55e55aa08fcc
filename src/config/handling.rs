//! What handles the messages of a consumer: a program, or one of the built-in handlers.

use super::fields::{unknown, Fields};
use super::Surroundings;
use crate::consumer::Consumer;
use crate::handler::Handler;
use crate::handlers::{Append, Print, Program};
use crate::topology::Queue;
use config::ValueKind;
use std::path::Path;

/// Of the consumer, for programs only.
pub(super) const PROGRAM_KEYS: [&str; 5] = ["persistent", "time_limit", "kill_after", "directory", "environment"];
pub(super) const APPEND_KEYS: [&str; 2] = ["append", "sync"];
#[cfg(feature = "webhook")]
pub(super) const HTTP_KEYS: [&str; 3] = ["http", "headers", "time_limit"];

/// What handles messages.
pub(super) struct Handling {
    /// What it is, in a few words.
    pub words: String,
    pub program: Option<Program>,
    consuming: Box<dyn FnOnce(Queue) -> Consumer>,
}

impl Handling {
    fn by(handler: impl Handler, words: String) -> Self {
        Handling { words, program: None, consuming: Box::new(|queue| Consumer::handled_by(queue, handler)) }
    }

    /// What a consumer's `run` or `handler` names.
    pub fn read(fields: &Fields<'_>, around: &Surroundings) -> Option<Self> {
        match (fields.has("run"), fields.has("handler")) {
            (true, true) => {
                fields.wrong("handler", "and `run` are two ways to handle a message; leave one of them out");
                None
            }
            (true, false) => program(fields, around),
            (false, true) => {
                let only = "is for programs, and this consumer has a `handler`; leave it out";
                fields.none_of(&PROGRAM_KEYS, only);
                built_in(fields, around)
            }
            (false, false) => {
                fields.wrong_at_all(
                    "has neither `run` nor `handler`; say what handles its messages, such as run = [\"./handle\"]",
                );
                None
            }
        }
    }

    /// A consumer of this queue.
    pub fn consuming(self, queue: Queue) -> Consumer {
        (self.consuming)(queue)
    }
}

fn takes_json(fields: &Fields<'_>) -> bool {
    fields.one_of("input", &["body", "json"]) == Some("json")
}

fn program(fields: &Fields<'_>, around: &Surroundings) -> Option<Handling> {
    let json = takes_json(fields);
    let mut command = match fields.raw("run").map(|value| value.kind) {
        Some(ValueKind::String(text)) if fields.rank("run") == Some(0) => {
            // The program only: among the arguments may be a password.
            let program = text.split_whitespace().next().unwrap_or("./program");
            let like = format!("run = [{program:?}, \"--flag\"]");
            fields.wrong("run", &format!("is a text and has to be a list, since no shell takes it apart: {like}"));
            return None;
        }
        _ => fields.texts("run")?,
    };
    let Some(first) = command.first_mut() else {
        fields.wrong("run", "is empty; name the program first, then its arguments");
        return None;
    };
    let name = first.clone();
    if first.contains('/') {
        *first = around.path(first).to_string_lossy().into_owned();
    }
    let mut program = Program::new(command);
    if let Some(directory) = fields.text("directory") {
        program = program.directory(around.path(&directory));
    }
    for (name, value) in fields.pairs("environment") {
        if name.is_empty() || name.contains(['=', '\0']) {
            fields.wrong("environment", "has a name that no variable can have");
        } else {
            program = program.environment(name, value);
        }
    }
    if let Some(limit) = fields.lasting("time_limit") {
        program = program.time_limit(limit);
    }
    if let Some(grace) = fields.time("kill_after") {
        if !fields.has("time_limit") {
            fields.doubt("kill_after", "does nothing without a `time_limit`");
        }
        program = program.kill_after(grace);
    }
    if fields.truth("persistent") == Some(true) {
        if fields.has("input") && !json {
            fields.wrong(
                "input",
                "is \"json\" for a persistent program, which gets a line of JSON for each message; leave it out",
            );
        }
        program = program.persistent();
    } else if json {
        program = program.json_input();
    }
    if around.checks_programs {
        if let Err(err) = program.check() {
            fields.wrong("run", &format!("cannot be started: {err}"));
        }
    }
    Some(Handling { program: Some(program.clone()), ..Handling::by(program, format!("runs `{name}`")) })
}

const HANDLERS: [&str; 3] = ["print", "append", "http"];

fn built_in(fields: &Fields<'_>, around: &Surroundings) -> Option<Handling> {
    let json = takes_json(fields);
    match fields.raw("handler").map(|value| value.kind) {
        Some(ValueKind::String(text)) if text == "print" => {
            let print = Print::new();
            Some(Handling::by(if json { print.json() } else { print }, "prints".into()))
        }
        Some(ValueKind::Table(_)) => {
            let handler = fields.table("handler")?;
            match (handler.has("append"), handler.has("http")) {
                (true, false) => appending(&handler, json, around),
                (false, true) => posting(&handler, json, fields),
                _ => {
                    handler.wrong_at_all("has to have either `append`, a file, or `http`, a URL");
                    None
                }
            }
        }
        Some(ValueKind::String(text)) => {
            let meant = match HANDLERS.contains(&text.as_str()) {
                true => format!("it needs to be told where: handler = {{ {text} = \"…\" }}"),
                false => unknown(&text, &HANDLERS),
            };
            fields.wrong("handler", &format!("is `{text}`; {meant}"));
            None
        }
        _ => {
            fields.wrong("handler", "has to be \"print\", { append = \"FILE\" } or { http = \"URL\" }");
            None
        }
    }
}

fn appending(handler: &Fields<'_>, json: bool, around: &Surroundings) -> Option<Handling> {
    handler.only(&APPEND_KEYS);
    let name = handler.text("append")?;
    if name.is_empty() {
        handler.wrong("append", "is empty; name the file to append to");
        return None;
    }
    let path = around.path(&name);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The file itself is made when the first message comes.
    if path.is_dir() {
        handler.wrong("append", &format!("names `{}`, which is a folder; name a file in it", path.display()));
    } else if !folder.is_dir() {
        handler.wrong("append", &format!("names a file in `{}`, which is no folder; make it", folder.display()));
    }
    let shown = path.display().to_string();
    let is_closed = !path.exists() && nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_err();
    let append = Append::to(&path);
    // A file that is not there is not made for a look.
    let refused = if path.is_file() { append.check().err() } else { None };
    if around.checks_programs && folder.is_dir() && (is_closed || refused.is_some()) {
        handler
            .wrong("append", &format!("names `{shown}`, which this user may not write to; see to its rights, or name another"));
    }
    let append = if json { append.json() } else { append };
    let append = if handler.truth("sync") == Some(true) { append.sync() } else { append };
    Some(Handling::by(append, format!("appends to `{shown}`")))
}

#[cfg(feature = "webhook")]
fn posting(handler: &Fields<'_>, json: bool, consumer: &Fields<'_>) -> Option<Handling> {
    handler.only(&HTTP_KEYS);
    if json {
        consumer.wrong("input", "is \"body\" for `http`, which posts the body, and the rest in headers; leave it out");
    }
    let url = handler.text("http")?;
    let mut post = match crate::handlers::HttpPost::new(&*url) {
        Ok(post) => post,
        Err(err) => {
            handler.wrong("http", &format!("cannot be used: {err}"));
            return None;
        }
    };
    for (name, value) in handler.pairs("headers") {
        post = post.header(name, value);
    }
    if let Some(limit) = handler.lasting("time_limit") {
        post = post.time_limit(limit);
    }
    if let Err(err) = post.check() {
        handler.wrong("headers", &format!("cannot be sent: {err}"));
    }
    // Without what may be a password, or a key in the query.
    let place = url.split(['?', '#']).next().unwrap_or_default();
    let place = place.split_once("://").map_or(place, |(_, rest)| rest.rsplit_once('@').map_or(rest, |(_, host)| host));
    Some(Handling::by(post, format!("posts to `{place}`")))
}

#[cfg(not(feature = "webhook"))]
fn posting(handler: &Fields<'_>, _json: bool, _consumer: &Fields<'_>) -> Option<Handling> {
    handler.wrong("http", "needs the feature `webhook`, which this program was built without");
    None
}
