//! The AMQP URL: whatever it is, no output has its password, and what is shown of it can be read again.

use crate::broker::Broker;
use crate::error::Fault;

/// More of an error nobody reads.
const ERROR_MAX: usize = 500;

/// Any text is a broker or a short error, and neither shows what it must not.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Broker::amqp(text) {
        Ok(broker) => check_shown(text, &broker),
        Err(err) => {
            let said = format!("{err} {err:?}");
            assert!(err.fault() == Fault::Config && err.to_string().len() <= ERROR_MAX, "{}", said.len());
            assert!(!said.contains(char::is_control), "{said:?}");
            check_silent(text, &said);
        }
    }
}

/// What is shown is the same whatever the password is, and its hosts are read as they were.
fn check_shown(text: &str, broker: &Broker) {
    let shown = format!("{broker} {broker:?}");
    let Some((scheme, rest)) = text.trim().split_once("://") else { panic!("no URL was taken: {shown}") };
    let (login, hosts) = rest.split_once('@').map_or((None, rest), |(login, hosts)| (Some(login), hosts));
    if let Some(login) = login {
        let user = login.split(':').next().unwrap_or_default();
        let other = Broker::amqp(&format!("{scheme}://{user}:an-0ther@{hosts}")).expect("only the password is another");
        assert_eq!(format!("{other} {other:?}"), shown);
    }
    let hosts = hosts.split('?').next().unwrap_or_default();
    // Without its query, but with the mark of one, so that a space at the end of a name stays.
    let bare = Broker::amqp(&format!("{scheme}://{hosts}?")).expect("a login and a query may be left out").to_string();
    let places: Vec<&str> = bare.split("guest@").skip(1).filter_map(|place| place.split(", virtual host `").next()).collect();
    if bare.matches("guest@").count() == hosts.split('/').next().unwrap_or_default().split(',').count() {
        // A zone of an IPv6 address is shown as it is, and written with an escape.
        let again =
            Broker::amqp(&format!("{scheme}://{}", places.join(",").replace('%', "%25"))).map(|broker| broker.to_string());
        let expected: Vec<String> = places.iter().map(|place| format!("guest@{place}, virtual host `/`")).collect();
        assert_eq!(again.ok(), Some(expected.join(", or ")));
    }
}

/// No piece of what may be a login is in the error, unless it is there for another login as well.
fn check_silent(text: &str, said: &str) {
    let Some((before, rest)) = text.split_once("//") else { return };
    let Some((login, behind)) = rest.rsplit_once('@') else { return };
    let is_said = |piece: &&[u8]| said.as_bytes().windows(4).any(|said| said == *piece);
    if let Some(piece) = login.as_bytes().windows(4).find(is_said) {
        let other = Broker::amqp(&format!("{before}//{}@{behind}", with_other_letters(login)))
            .err()
            .map(|err| format!("{err} {err:?}"));
        assert_eq!(other.as_deref(), Some(said), "{}", piece.escape_ascii());
    }
}

/// Every letter is another, but those of an escape.
fn with_other_letters(login: &str) -> String {
    let mut behind_percent = 3;
    let other = login.chars().map(|letter| {
        behind_percent = if letter == '%' { 0 } else { behind_percent + 1 };
        let is_escape = behind_percent <= 2 && letter.is_ascii_hexdigit();
        if letter.is_alphabetic() && !is_escape {
            'z'
        } else {
            letter
        }
    });
    other.collect()
}
