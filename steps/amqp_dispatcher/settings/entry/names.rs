//! Names that are known, and the one that was probably meant: what a person mistypes is a letter or two away from what exists.

/// The nearest of the known names, if it is near enough to have been meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|other| (strsim::levenshtein(&name.to_lowercase(), &other.to_lowercase()), other));
    let enough = (name.chars().count() / 3).max(2);
    near.filter(|(distance, _)| *distance <= enough).min_by_key(|(distance, _)| *distance).map(|(_, other)| other)
}

/// A mistake for each name that is registered more than once.
pub fn twice<T>(registered: &[(String, T)], what: &str) -> Vec<String> {
    let again = |place: &usize| registered[..*place].iter().any(|(name, _)| *name == registered[*place].0);
    let again = (0..registered.len()).filter(again);
    again.map(|place| format!("the {what} `{}` is registered twice", registered[place].0)).collect()
}

/// What is registered under this name; that nothing is, is a mistake.
pub fn find<T: Clone>(registered: &[(String, T)], name: &str, key: &str, mistakes: &mut Vec<String>) -> Option<T> {
    let found = registered.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    if found.is_none() {
        let meant = nearest(name, registered.iter().map(|(other, _)| other.as_str()));
        let hint = meant.map_or_else(|| "register it in Rust".into(), |near| format!("`{near}` is"));
        mistakes.push(format!("{key} names `{name}`, which is not registered; {hint}"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_enough_was_meant() {
        let known = ["durable", "queue", "x_message_ttl", "bindings"];
        assert_eq!(nearest("durabel", known), Some("durable"));
        assert_eq!(nearest("x-message-ttl", known), Some("x_message_ttl"));
        assert_eq!(nearest("Queue", known), Some("queue"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", []), None);
    }
}
