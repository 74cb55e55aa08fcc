//! Messages posted to a server: what it gets, and what its answers make of them.

use super::{handled, message};
use bootstep::handlers::HttpPost;
use bootstep::{Fault, Message, Outcome, Properties, Publication, Value};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver};
use std::time::{Duration, Instant};

/// One request as it came: its head in lower case, and its body.
struct Request {
    head: String,
    body: Vec<u8>,
}

/// A server that gives these answers, one after the other, on as few connections as it is asked on; and what it was asked.
fn server(answers: &'static [&'static str]) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.iter();
        while let Ok((stream, _)) = listener.accept() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(request) = read(&mut reader) {
                let _ = tell.send(request);
                let Some(answer) = answers.next() else { return };
                write(&stream, answer);
            }
        }
    });
    (url, told)
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body })
}

fn write(mut stream: &TcpStream, answer: &str) {
    let (head, body) = answer.split_once('|').unwrap_or((answer, ""));
    let _ = write!(stream, "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
}

#[test]
fn the_answer_says_what_becomes_of_the_message() {
    let check = |answer: &'static [&'static str], expected: Outcome| {
        let (url, _told) = server(answer);
        assert_eq!(handled(&HttpPost::new(url).unwrap(), &message("x")), Ok(expected), "{answer:?}");
    };
    let soon = |reason: &str, seconds: u64| Outcome::retry(reason).after(Duration::from_secs(seconds));
    check(&["200 OK|thanks"], Outcome::Ack);
    check(&["202 Accepted"], Outcome::Ack);
    check(&["302 Found\r\nlocation: /elsewhere"], Outcome::reject("the answer was 302 Found"));
    check(&["307 Temporary Redirect\r\nlocation: /elsewhere"], Outcome::reject("the answer was 307 Temporary Redirect"));
    check(&["400 Bad Request|no such\nproduct\n"], Outcome::reject("the answer was 400 Bad Request: no such\nproduct"));
    check(&["408 Request Timeout"], Outcome::retry("the answer was 408 Request Timeout"));
    check(&["425 Too Early"], Outcome::retry("the answer was 425 Too Early"));
    check(&["429 Too Many Requests\r\nretry-after: 7|slow"], soon("the answer was 429 Too Many Requests: slow", 7));
    check(&["503 Service Unavailable\r\nretry-after: 60"], soon("the answer was 503 Service Unavailable", 60));
    check(
        &["500 Oh\r\nretry-after: Wed, 21 Oct 2015 07:28:00 GMT"],
        Outcome::retry("the answer was 500 Internal Server Error"),
    );
}

#[test]
fn the_body_and_what_is_known_of_it_is_posted() {
    let (url, told) = server(&["200 OK"]);
    let post = HttpPost::new(url.replace("http://", "http://us%40er:pa%3Ass@") + "/orders?key=1").unwrap();
    let mut properties = Properties::persistent("application/json").header("X-Trace Id", "t7").header("größe", "groß");
    properties =
        properties.header("forged", "a\r\nb: c").header("huge", "x".repeat(100_000)).header("list", Value::Array(vec![]));
    properties.content_encoding = Some("gzip".into());
    properties.message_id = Some("m1".into());
    let order = Message::from_publication(Publication::new("shop", "order.web", b"\x00\xff").with(properties));
    assert_eq!(handled(&post.header("X-Own", "o1"), &order), Ok(Outcome::Ack));
    let Request { head, body } = told.recv().unwrap();
    assert_eq!(body, b"\x00\xff");
    for line in [
        "post /orders?key=1 http/1.1",
        "authorization: basic dxnazxi6cge6c3m=",
        "content-type: application/json",
        "content-encoding: gzip",
        "message-queue: order.web",
        "message-exchange: shop",
        "message-attempt: 1",
        "message-redelivered: false",
        "message-id: m1",
        "message-header-x-trace-id: t7",
        "message-header-list: []",
        "x-own: o1",
    ] {
        assert!(head.lines().any(|other| other == line), "`{line}` in {head}");
    }
    assert!(!head.contains("forged") && !head.contains("b: c") && !head.contains("huge") && !head.contains("gr--e"), "{head}");
}

#[test]
fn one_connection_serves_many_messages() {
    let (url, told) = server(&["200 OK|one", "500 Oh|two", "200 OK|three"]);
    let post = HttpPost::new(url).unwrap();
    // This server answers on one connection at a time, and waits for its end: a second one would not be served.
    let outcomes: Vec<_> = (0..3).map(|number| handled(&post, &message(format!("{number}")))).collect();
    assert!(outcomes[0] == Ok(Outcome::Ack) && outcomes[2] == Ok(Outcome::Ack), "{outcomes:?}");
    let bodies: Vec<_> = told.iter().take(3).map(|request| request.body).collect();
    assert_eq!(bodies, [b"0", b"1", b"2"]);
}

#[test]
fn no_answer_is_another_try_and_shows_no_password() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let post = HttpPost::new(format!("http://user:secret@{nobody}/orders?key=secret")).unwrap();
    let Ok(Outcome::Retry { reason, .. }) = handled(&post, &message("x")) else { panic!("it is a retry") };
    assert!(
        reason.starts_with(&format!("no answer from `http://{nobody}/orders`: ")) && !reason.contains("secret"),
        "{reason}"
    );

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let post =
        HttpPost::new(format!("http://{}", silent.local_addr().unwrap())).unwrap().time_limit(Duration::from_millis(200));
    let began = Instant::now();
    let Ok(Outcome::Retry { reason, .. }) = handled(&post, &message("x")) else { panic!("it is a retry") };
    assert!(reason.ends_with("/`: not within 200ms"), "{reason}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_answer_without_end_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let post = HttpPost::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        while stream.write_all(&[b'x'; 10_000]).is_ok() {}
    });
    let Ok(Outcome::Reject { reason }) = handled(&post, &message("x")) else { panic!("it is rejected") };
    assert!(reason.len() < 2_000, "{}", reason.len());
}

#[test]
fn what_cannot_be_posted_to_is_told_at_once() {
    let check = |url: &str, why: &str| {
        let err = HttpPost::new(url).err().expect("it is no such address");
        assert_eq!(err.fault(), Fault::Config);
        assert!(err.to_string().contains(why) && !err.to_string().contains("secret"), "{err}");
    };
    check("", "the URL to post to cannot be read; write one such as `https://example.org/orders`");
    check("//h/path", "does not begin with `http://` or `https://` and a host");
    check("localhost:8080", "does not begin with");
    check("ftp://u:secret@h/", "does not begin with");
    check("http://u:secret@h h/", "cannot be read");
    check("http:///path", "");
    let header =
        |name: &str, value: &str| HttpPost::new("http://h").unwrap().header(name, value).check().unwrap_err().to_string();
    assert_eq!(header("a b", "c"), "`a b` is not the name of an HTTP header");
    assert_eq!(header("a", "secret\n"), "the value of the HTTP header `a` has a character that cannot be sent");
}

#[cfg(feature = "tls")]
#[test]
fn a_server_without_a_certificate_that_is_trusted_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(
        move || while listener.accept().is_ok_and(|(mut stream, _)| stream.write_all(b"not TLS at all").is_ok()) {},
    );
    match HttpPost::new(format!("https://{address}/")) {
        Ok(post) => assert!(matches!(handled(&post, &message("x")), Ok(Outcome::Retry { .. }))),
        // A machine without certificates says so.
        Err(err) => assert!(err.to_string().contains("trusted certificates"), "{err}"),
    }
}
