//! The cases, by the ids that they have in the list of what is to be shown.

mod article;
mod consumer;
mod dispatcher;
mod events;
mod fedora;

use crate::stage::Stage;

/// One case: a Python program and a bootstep worker on the same broker.
pub struct Case {
    pub id: &'static str,
    pub what: &'static str,
    /// The Python package that it is about.
    pub package: &'static str,
    /// This plays it, says what was counted, and panics if anything is not as it should be.
    pub play: fn(&Stage) -> String,
}

/// The cases whose ids begin with one of these words; all of them without any.
pub fn named(wanted: &[String]) -> Vec<Case> {
    let mut all = consumer::cases();
    all.extend(events::cases());
    all.extend(dispatcher::cases());
    all.extend(fedora::cases());
    all.extend(article::cases());
    all.into_iter().filter(|case| wanted.is_empty() || wanted.iter().any(|word| case.id.starts_with(word.as_str()))).collect()
}
