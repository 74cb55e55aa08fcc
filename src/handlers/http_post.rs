//! Messages posted to a web address: the status that it answers with says what becomes of them.

use super::stderr::tail;
use crate::delivered::Message;
use crate::error::{BoxError, Error, Fault};
use crate::handler::Handler;
use crate::message_json;
use crate::outcome::Outcome;
use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use percent_encoding::percent_decode_str;
use std::io::Read;
use std::time::Duration;
use ureq::http::header::{HeaderName, HeaderValue, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::{Agent, Body};

/// How long a request may take, its answer included.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// More of an answer is not read.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Servers commonly refuse more than 8 KiB of headers.
const HEADERS_BYTES: usize = 6 * 1024;

/// As many connections are kept as threads are likely to post at once.
const IDLE_CONNECTIONS: usize = 64;

/// Posts each message's body to a web address.
///
/// | answer | outcome |
/// |---|---|
/// | 2xx | [`Ack`](Outcome::Ack) |
/// | 408, 425, 429, 5xx, or none (no connection, over the time limit) | [`Retry`](Outcome::Retry), after `Retry-After` if that is there in seconds |
/// | 3xx, any other 4xx | [`Reject`](Outcome::Reject): to the dead letters |
///
/// The reason is the status and the end of the answer's body. Redirects are not followed. Content type and encoding are passed on, and
/// as headers, where the message has them: `Message-Queue`, `Message-Exchange`, `Message-Routing-Key`, `Message-Attempt`,
/// `Message-Redelivered`, `Message-Id`, `Message-Correlation-Id`, `Message-Reply-To`, `Message-Timestamp` (seconds since 1970),
/// `Message-Type`, `Message-App-Id`, `Message-Priority`, and `Message-Header-<Name>` for each header (`-` for all but letters and
/// digits). Left out is what is not printable ASCII, and what comes after the first 6 KiB. An attempt that was cut off may have
/// been handled all the same, so the receiver has to stand repetition: `Message-Id` tells, where the publisher sets it.
///
/// `https` takes the feature `tls`, and trusts what the system trusts. A proxy is taken from `HTTPS_PROXY`, `HTTP_PROXY` or
/// `ALL_PROXY`, except for what `NO_PROXY` names.
///
/// ```
/// use bootstep::handlers::HttpPost;
/// use bootstep::Consumer;
/// use std::time::Duration;
///
/// let post = HttpPost::new("http://localhost:8080/orders")?.header("Authorization", "Bearer 1234").time_limit(Duration::from_secs(5));
/// post.check()?;
/// let consumer = Consumer::handled_by("orders", post);
/// # Ok::<(), bootstep::Error>(())
/// ```
#[derive(Clone)]
pub struct HttpPost {
    url: Uri,
    agent: Agent,
    headers: HeaderMap,
    time_limit: Duration,
    /// What is wrong with a header that was set.
    mistake: Option<String>,
}

impl HttpPost {
    /// The address, `http://` or `https://`; a user and password in it become basic authentication.
    ///
    /// # Errors
    /// [`Fault::Config`] if it is no such address, or the system has no certificates to trust.
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        let url = url.into();
        let refused = |what: &str| Error::new(Fault::Config, format!("the URL to post to {what}"));
        let (url, login) = without_login(&url);
        // Of what cannot be read, nothing is shown: the password may be anywhere in it.
        let url: Uri = url.parse().map_err(|_| refused("cannot be read; write one such as `https://example.org/orders`"))?;
        let is_whole = url.host().is_some_and(|host| !host.is_empty());
        match url.scheme_str() {
            Some("http") if is_whole => {}
            Some("https") if is_whole && cfg!(feature = "tls") => {}
            Some("https") if is_whole => return Err(refused("is `https`, which takes the feature `tls`; build with it")),
            _ => return Err(refused("does not begin with `http://` or `https://` and a host")),
        }
        let mut headers = HeaderMap::new();
        if let Some(login) = login {
            headers.insert(AUTHORIZATION, basic(&login).ok_or_else(|| refused("has a login that no header can hold"))?);
        }
        let agent = agent(&url)?;
        Ok(HttpPost { url, agent, headers, time_limit: TIME_LIMIT, mistake: None })
    }

    /// This sets a header of every request, such as `Authorization`; the one that was set before is gone.
    /// [`check`](HttpPost::check) says whether name and value can be sent.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        match (HeaderName::try_from(name), HeaderValue::try_from(value.as_ref())) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.insert(name, value);
            }
            (Err(_), _) => self.mistake = Some(format!("`{}` is not the name of an HTTP header", name.escape_debug())),
            (_, Err(_)) => {
                self.mistake = Some(format!("the value of the HTTP header `{name}` has a character that cannot be sent"))
            }
        }
        self
    }

    /// How long a request may take, its answer included (30 seconds by default).
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Whether all that was set can be sent.
    ///
    /// # Errors
    /// [`Fault::Config`] if a header cannot; the last one is named.
    pub fn check(&self) -> Result<(), Error> {
        self.mistake.clone().map_or(Ok(()), |mistake| Err(Error::new(Fault::Config, mistake)))
    }
}

impl HttpPost {
    fn words_of(&self, err: &ureq::Error) -> String {
        match err {
            // There is one limit here, which the agent calls the global one.
            ureq::Error::Timeout(_) => format!("not within {:?}", self.time_limit),
            _ => err.to_string(),
        }
    }
}

impl Handler for HttpPost {
    type Body = ();

    fn handle(&self, (): (), message: &Message) -> Result<Outcome, BoxError> {
        self.check()?;
        let mut request = self.agent.post(&self.url).config().timeout_global(Some(self.time_limit)).build();
        if let Some(headers) = request.headers_mut() {
            headers.extend(about(message));
            headers.extend(self.headers.clone());
        }
        match request.send(message.body()) {
            Ok(mut response) => Ok(outcome(&mut response)),
            Err(err) => Ok(Outcome::retry(format!("no answer from `{}`: {}", shown(&self.url), self.words_of(&err)))),
        }
    }
}

fn agent(url: &Uri) -> Result<Agent, Error> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .user_agent(concat!("bootstep/", env!("CARGO_PKG_VERSION")));
    #[cfg(feature = "tls")]
    let config = match url.scheme_str() {
        Some("https") => config.tls_config(tls()?),
        _ => config,
    };
    #[cfg(not(feature = "tls"))]
    let _ = url;
    Ok(config.build().new_agent())
}

/// The system's certificates and the cryptography that `amqps` has as well.
#[cfg(feature = "tls")]
fn tls() -> Result<ureq::tls::TlsConfig, Error> {
    use ureq::tls::{Certificate, RootCerts, TlsConfig};
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let cause = found.errors.first().map_or_else(|| "there are none".into(), ToString::to_string);
        let what = format!("the system's trusted certificates cannot be used ({cause}); name their file in SSL_CERT_FILE");
        return Err(Error::new(Fault::Config, what));
    }
    let trusted: Vec<_> = found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&trusted));
    Ok(config.unversioned_rustls_crypto_provider(provider).build())
}

/// The URL without user and password, and these, if it has them.
fn without_login(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => (format!("{scheme}://{}", &rest[at + 1..]), Some(rest[..at].to_owned())),
        None => (url.to_owned(), None),
    }
}

/// Basic authentication (RFC 7617).
fn basic(login: &str) -> Option<HeaderValue> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let mut plain: Vec<u8> = percent_decode_str(user).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The URL as it may be logged: a query may hold a key.
fn shown(url: &Uri) -> String {
    let (scheme, host) = (url.scheme_str().unwrap_or_default(), url.authority().map_or("", |authority| authority.as_str()));
    format!("{scheme}://{host}{}", url.path())
}

/// What a request says of its message beside the body.
fn about(message: &Message) -> HeaderMap {
    let properties = message.properties();
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let own = [
        (CONTENT_TYPE.as_str(), properties.content_type.clone()),
        (CONTENT_ENCODING.as_str(), properties.content_encoding.clone()),
        ("message-queue", Some(message.queue().to_owned())),
        ("message-exchange", Some(message.exchange().to_owned())),
        ("message-routing-key", Some(message.routing_key().to_owned())),
        ("message-attempt", Some(message.attempt().to_string())),
        ("message-redelivered", Some(message.is_redelivered().to_string())),
        ("message-id", properties.message_id.clone()),
        ("message-correlation-id", properties.correlation_id.clone()),
        ("message-reply-to", properties.reply_to.clone()),
        ("message-timestamp", number(properties.timestamp)),
        ("message-type", properties.kind.clone()),
        ("message-app-id", properties.app_id.clone()),
        ("message-priority", number(properties.priority.map(u64::from))),
    ];
    let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let theirs = message.headers().into_iter().flatten().map(|(name, value)| {
        let value = match message_json::plain(value) {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        (format!("message-header-{}", name.replace(|character: char| !character.is_ascii_alphanumeric(), "-")), value)
    });
    fitting(own.chain(theirs))
}

fn fitting(all: impl Iterator<Item = (String, String)>) -> HeaderMap {
    let (mut taken, mut bytes) = (HeaderMap::new(), 0);
    for (name, value) in all {
        let more = name.len() + value.len() + ": \r\n".len();
        let is_printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
        if is_printable && bytes + more <= HEADERS_BYTES && !taken.contains_key(&name) {
            bytes += more;
            taken.insert(name, value);
        }
    }
    taken
}

fn outcome(response: &mut Response<Body>) -> Outcome {
    let (status, after) = (response.status(), retry_after(response.headers()));
    // Read also where nobody wants to know: the connection can then be used again.
    let mut answer = Vec::new();
    let is_whole = response.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut answer).is_ok();
    if status.is_success() {
        return Outcome::Ack;
    }
    let said = tail(&answer, !is_whole || answer.len() as u64 == ANSWER_BYTES);
    let reason = super::exit::with(format!("the answer was {status}"), said);
    match is_worth_another_try(status) {
        true => after.into_iter().fold(Outcome::retry(&reason), Outcome::after),
        false => Outcome::reject(reason),
    }
}

fn is_worth_another_try(status: StatusCode) -> bool {
    const TOO_EARLY: u16 = 425;
    let others = [StatusCode::REQUEST_TIMEOUT.as_u16(), TOO_EARLY, StatusCode::TOO_MANY_REQUESTS.as_u16()];
    // 1xx is no answer, and what is no class at all may be mended.
    !status.is_redirection() && (!status.is_client_error() || others.contains(&status.as_u16()))
}

/// In seconds (RFC 9110, section 10.2.3); as a date it would stand on two clocks.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
