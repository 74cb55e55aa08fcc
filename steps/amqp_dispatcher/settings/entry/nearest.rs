//! The name that was probably meant: what a person mistypes is a letter or two away from what exists.

/// The nearest of the known names, if it is near enough to have been meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|other| (distance(&name.to_lowercase(), &other.to_lowercase()), other));
    let enough = (name.chars().count() / 3).max(2);
    near.filter(|(distance, _)| *distance <= enough).min_by_key(|(distance, _)| *distance).map(|(_, other)| other)
}

/// How many letters have to be put in, taken out or changed (Levenshtein's distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = place + 1;
        for (at, against) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *against);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
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
