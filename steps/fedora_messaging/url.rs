//! From fedora-messaging's `amqp_url`, which is one of pika's, and its `tls` table to a URL of ours.

use bootstep::{Error, Fault};
use percent_encoding::{utf8_percent_encode, NON_ALPHANUMERIC};

/// What pika knows in a query and this worker has no use for: it connects by itself for as long as it takes, with its own delays.
const WITHOUT_USE: [&str; 9] = [
    "connection_attempts",
    "retry_delay",
    "socket_timeout",
    "stack_timeout",
    "blocked_connection_timeout",
    "backpressure_detection",
    "locale",
    "tcp_options",
    "client_properties",
];

/// The files of an `amqps:` URL, each a path of a PEM file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that may have signed the broker's certificate (the system's by default).
    pub ca_cert: Option<String>,
    /// A certificate of ours. With its key, it says who we are (SASL `EXTERNAL`).
    pub certfile: Option<String>,
    /// Its key.
    pub keyfile: Option<String>,
}

/// The URL for [`Broker::amqp`](bootstep::Broker::amqp): without what only pika knows, with the files of `tls` if it begins with
/// `amqps:`. As with pika, no host is `localhost`, and no path or `/` is the virtual host `/`.
///
/// # Errors
/// [`Fault::Config`] for what would be lost: TLS settings in `ssl_options`.
pub fn broker_url(amqp_url: &str, tls: &Tls) -> Result<String, Error> {
    let (place, query) = amqp_url.trim().split_once('?').unwrap_or((amqp_url.trim(), ""));
    // Ours reads a `/` at the end as the virtual host without a name.
    let place = place.strip_suffix('/').filter(|place| !place.ends_with('/')).unwrap_or(place);
    let mut kept: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        if name == "ssl_options" {
            let what =
                "`amqp_url` has `ssl_options`; name the files in the table `tls` instead, as `ca_cert`, `certfile`, `keyfile`";
            return Err(Error::new(Fault::Config, what));
        }
        if WITHOUT_USE.contains(&name) {
            log::debug!("`{name}` in `amqp_url` does nothing here");
        } else {
            kept.push(pair.to_owned());
        }
    }
    let is_tls = place.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("amqps:"));
    if is_tls {
        kept.extend(tls_parameters(tls));
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Ok(format!("{place}{query}"))
}

fn tls_parameters(tls: &Tls) -> Vec<String> {
    let file = |name: &str, path: &str| format!("{name}={}", utf8_percent_encode(path, NON_ALPHANUMERIC));
    let mut parameters: Vec<String> = tls.ca_cert.iter().map(|path| file("cacertfile", path)).collect();
    if let (Some(certfile), Some(keyfile)) = (&tls.certfile, &tls.keyfile) {
        parameters.extend([file("certfile", certfile), file("keyfile", keyfile), "auth_mechanism=external".to_owned()]);
    }
    parameters
}

#[cfg(test)]
mod tests {
    use bootstep::steps::fedora_messaging::{broker_url, Tls};

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(broker_url(url, &Tls::default()).expect("it is a URL"), expected);
    }

    #[test]
    fn what_only_pika_knows_is_left_out() {
        check("amqp://?connection_attempts=3&retry_delay=5", "amqp://");
        check("amqp://guest:guest@rabbit:5672/?heartbeat=30&locale=en_US", "amqp://guest:guest@rabbit:5672?heartbeat=30");
        check("amqp://rabbit/%2Fpublic_pubsub?x=1", "amqp://rabbit/%2Fpublic_pubsub?x=1");
        let err = broker_url("amqps://rabbit?ssl_options=%7B%7D", &Tls::default()).expect_err("it would be lost");
        assert!(err.to_string().contains("in the table `tls`"), "{err}");
    }

    #[test]
    fn the_files_of_tls_come_behind_an_amqps_url_only() {
        let path = |name: &str| Some(format!("/etc/pki/{name}.pem"));
        let tls = Tls { ca_cert: path("ca"), certfile: path("cert"), keyfile: path("key") };
        let url = |url: &str| broker_url(url, &tls).expect("it is a URL");
        let files = "cacertfile=%2Fetc%2Fpki%2Fca%2Epem&certfile=%2Fetc%2Fpki%2Fcert%2Epem&keyfile=%2Fetc%2Fpki%2Fkey%2Epem";
        assert_eq!(
            url("amqps://fedora:@rabbit/vhost"),
            format!("amqps://fedora:@rabbit/vhost?{files}&auth_mechanism=external")
        );
        assert_eq!(url("amqp://rabbit"), "amqp://rabbit");
        let no_key = Tls { keyfile: None, ..tls };
        assert_eq!(broker_url("amqps://r", &no_key).expect("it is a URL"), "amqps://r?cacertfile=%2Fetc%2Fpki%2Fca%2Epem");
    }
}
