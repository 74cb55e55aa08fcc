//! `/live` and `/ready` over HTTP: that they tell the truth, and that nobody who asks badly is in another's way.

use crate::support::stage::SOON;
use crate::support::wait::{eventually, holds_within};
use bootstep::steps::ServeHealth;
use bootstep::{Broker, Consumer, Fault, KillSwitch, MemoryBroker, Message, Outcome, Publication, Running, Worker};
use serde_json::{json, Value};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What a probe waits for: less than a slow client is borne with.
const PROBE: Duration = Duration::from_secs(4);

/// A port on which nobody listens. Another process may take it meanwhile; none does for long.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SOON).unwrap();
    socket.set_read_timeout(Some(PROBE)).unwrap();
    socket.set_write_timeout(Some(PROBE)).unwrap();
    socket
}

/// The status and what comes with it, as far as it comes within the time of a probe.
fn ask(port: u16, request: &[u8]) -> Option<(u16, String)> {
    let mut socket = connect(port);
    socket.write_all(request).ok()?;
    let mut reply = Vec::new();
    socket.read_to_end(&mut reply).ok()?;
    let reply = String::from_utf8(reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    Some((head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?, body.to_owned()))
}

#[track_caller]
pub fn get(port: u16, path: &str) -> (u16, Value) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-probe/1.30\r\n\r\n");
    let (status, body) = ask(port, request.as_bytes()).expect("it answers");
    (status, serde_json::from_str(&body).expect("it is JSON"))
}

fn worker(broker: Broker, port: u16, consumer: Consumer) -> Worker {
    let mut worker = Worker::new(broker).drain_within(SOON);
    worker.steps.add_first(ServeHealth::on("127.0.0.1", port).published(|| 3)).add(consumer);
    worker
}

fn orders() -> Consumer {
    let consumer = Consumer::new("orders", |word: String, message: &Message| match word.as_str() {
        "drop" => Ok(Outcome::reject("no order")),
        "again" if !message.is_redelivered() => Ok(Outcome::Requeue),
        "fail" if message.attempt() == 1 => Err("oh no".into()),
        _ => Ok(Outcome::Ack),
    });
    consumer.concurrency(1)
}

fn serving() -> (MemoryBroker, u16, Running) {
    let (memory, port) = (MemoryBroker::new(), free_port());
    let running = worker(Broker::from(&memory), port, orders()).start().unwrap();
    (memory, port, running)
}

/// D3
#[test]
fn ready_counts_what_became_of_messages() {
    let (memory, port, running) = serving();
    for word in ["a", "b", "drop", "again", "fail"] {
        memory.publish(Publication::new("", "orders", word)).unwrap();
    }
    memory.drain(SOON).unwrap();
    let (status, mut body) = get(port, "/ready");
    let consumers = body.as_object_mut().unwrap().remove("consumers").unwrap();
    let consumed = json!({"received": 7, "processed": 4, "dropped": 1, "rejected": 2, "failed": 1});
    assert_eq!((status, body), (200, json!({"consuming": true, "published": 3, "consumed": consumed})));
    assert_eq!(consumers[0]["queue"], "orders");
    assert_eq!(
        (&consumers[0]["state"], &consumers[0]["retried"], &consumers[0]["stuck"]),
        (&json!("consuming"), &json!(1), &json!(0))
    );
    assert_eq!(get(port, "/live"), (200, json!({"status": "OK"})));
    assert_eq!(get(port, "/live/?verbose=1").0, 200);
    assert_eq!(get(port, "/metrics").0, 404);
    assert_eq!(ask(port, b"HEAD /ready HTTP/1.1\r\n\r\n"), Some((200, String::new())));
    assert_eq!(ask(port, b"POST /ready HTTP/1.1\r\n\r\n").unwrap().0, 405);
    assert_eq!(running.stop(), 0);
    assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "its port is free again");
}

/// D3
#[test]
fn ready_says_no_while_the_broker_is_away_and_yes_again_after() {
    let (memory, port, running) = serving();
    memory.stop_listening();
    memory.sever();
    eventually("it is not ready", SOON, || get(port, "/ready").0 == 503);
    let body = get(port, "/ready").1;
    assert_eq!((&body["consuming"], &body["consumers"][0]["state"]), (&json!(false), &json!("away")));
    assert_eq!(get(port, "/live").0, 200);
    memory.listen();
    memory.until("the worker is back", SOON, |memory| memory.consumers("orders") == 1).unwrap();
    eventually("it is ready", SOON, || get(port, "/ready").0 == 200);
    assert_eq!(running.stop(), 0);
}

/// D3
#[test]
fn a_consumer_that_pauses_is_not_ready() {
    let (memory, port) = (MemoryBroker::new(), free_port());
    let failing = Consumer::new("orders", |_: String, _: &Message| Err::<Outcome, _>("the shop is closed".into()));
    let _running = worker(Broker::from(&memory), port, failing.kill_switch(KillSwitch::at(0.5))).start().unwrap();
    assert_eq!(get(port, "/ready").0, 200);
    (0..200).for_each(|_| memory.publish(Publication::new("", "orders", "x")).unwrap());
    eventually("it is not ready", SOON, || get(port, "/ready").0 == 503);
    assert_eq!(get(port, "/ready").1["consumers"][0]["state"], "paused");
}

/// D3
#[test]
fn before_the_broker_answers_for_the_first_time_it_lives_and_is_not_ready() {
    let port = free_port();
    let away = worker(Broker::amqp("amqp://127.0.0.1:1").unwrap(), port, orders()).boot_within(Duration::from_secs(2));
    let booting = std::thread::spawn(move || away.start().map(drop).unwrap_err().to_string());
    eventually("it lives", SOON, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    assert_eq!((get(port, "/live").0, get(port, "/ready").0), (200, 503));
    assert!(booting.join().unwrap().starts_with("step `connect` did not start"));
}

/// D3
#[test]
fn a_worker_that_drains_lives_and_is_not_ready() {
    let (memory, port) = (MemoryBroker::new(), free_port());
    let (begun, begins) = channel();
    let (open, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let slow = Consumer::new("orders", move |_: String, _: &Message| {
        begun.send(())?;
        gate.lock().unwrap().recv_timeout(SOON)?;
        Ok(Outcome::Ack)
    });
    let running = worker(Broker::from(&memory), port, slow).start().unwrap();
    memory.publish(Publication::new("", "orders", "x")).unwrap();
    begins.recv_timeout(SOON).unwrap();
    assert_eq!(get(port, "/ready").0, 200);
    let stopping = std::thread::spawn(move || running.stop());
    eventually("it is not ready", SOON, || get(port, "/ready").0 == 503);
    assert_eq!(get(port, "/ready").1["consumers"][0]["state"], "away");
    assert_eq!(get(port, "/live").0, 200);
    open.send(()).unwrap();
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn a_worker_without_consumers_is_not_ready() {
    let port = free_port();
    let mut worker = Worker::bare(Broker::from(&MemoryBroker::new()));
    worker.steps.add(ServeHealth::on("localhost", port));
    let running = worker.start().unwrap();
    assert_eq!(get(port, "/ready").0, 503);
    assert_eq!(running.stop(), 0);
}

#[test]
fn a_port_that_is_taken_ends_the_boot_with_address_and_port() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let err = worker(Broker::from(&MemoryBroker::new()), port, orders()).start().unwrap_err();
    assert_eq!((err.step(), err.fault()), (Some("serve-health"), Fault::Step), "no setting is wrong: exit code 3");
    assert!(err.to_string().contains(&format!("health cannot be served at `127.0.0.1`, port {port}: ")), "{err}");
}

#[test]
fn who_is_slow_holds_up_nobody() {
    let (_memory, port, _running) = serving();
    // More than it keeps, each with half a request.
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut socket = connect(port);
            socket.write_all(b"GET /ready HTTP/1.1\r\nX-Slow: ").unwrap();
            socket
        })
        .collect();
    let asked = Instant::now();
    assert_eq!(get(port, "/ready").0, 200);
    assert!(asked.elapsed() < PROBE);
    let is_dropped =
        |mut socket: &TcpStream| !matches!(socket.read(&mut [0]), Err(err) if err.kind() == std::io::ErrorKind::WouldBlock);
    assert!(is_dropped(&slow[0]), "the oldest had to go");
    assert!(holds_within(SOON, || is_dropped(&slow[199])), "nobody stays for long");
}

#[test]
fn garbage_is_refused_and_what_never_ends_is_cut_off() {
    let (_memory, port, _running) = serving();
    assert_eq!(ask(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap().0, 400);
    assert_eq!(ask(port, b"GET /ready\r\n\r\n").unwrap().0, 400);
    let huge = [b"GET /ready HTTP/1.1\r\nX-Huge: ".as_slice(), &[b'x'; 64 << 10]].concat();
    assert_eq!(ask(port, &huge).unwrap().0, 431);
    let many = format!("GET /ready HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500));
    assert_eq!(ask(port, many.as_bytes()).unwrap().0, 431);
    // Half of a request, and nothing more to come.
    let gone = connect(port);
    (&gone).write_all(b"GET /re").unwrap();
    gone.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&gone).read(&mut [0]).unwrap(), 0);

    let mut endless = connect(port);
    endless.write_all(b"GET /live HTTP/1.1\r\n\r\n").unwrap();
    let piece = [0; 64 << 10];
    assert!(holds_within(SOON, || endless.write_all(&piece).is_err()), "it is cut off");
    assert_eq!(get(port, "/ready").0, 200);
}
