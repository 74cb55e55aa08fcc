//! Each way in which a broker or a part of it is lost is one line in the log, with its cause and what to do about it.

use crate::support::alone::Lines;
use crate::support::node::{Node, Setup};
use crate::support::stage::SOON;
use crate::support::wait::eventually;
use bootstep::{Broker, Connection, Consumer, ConsumerState, Fault, Outcome, Publication, Queue, Running, Worker};
use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

crate::each_alone!(
    a_connection_that_is_cut_is_one_line,
    a_broker_that_falls_silent_is_one_line,
    a_broker_that_is_killed_is_a_line_for_the_loss_and_one_for_the_refusal,
    a_publishing_connection_lost_alone_is_one_line,
    an_operator_who_closes_all_connections_is_one_line,
    a_consumer_timeout_is_one_line_with_the_time_and_the_remedy,
    a_deleted_queue_is_one_line,
    a_deleted_queue_of_others_is_one_line_until_it_is_back,
    what_ends_the_boot_names_cause_and_remedy,
    a_permission_that_is_taken_away_is_one_line,
    an_alarm_is_one_line_and_its_end_another,
    a_host_that_is_gone_is_one_line_for_both_connections,
);

/// A worker on a node of its own, and what it may be asked.
struct Scene {
    node: Node,
    running: Running,
    connection: Connection,
}

impl Scene {
    fn open(query: &str) -> Scene {
        Scene::with(Node::start(), query, Consumer::new("jobs", |_: String, _| Ok(Outcome::Ack)))
    }

    fn with(node: Node, query: &str, consumer: Consumer) -> Scene {
        let connection = Broker::amqp(&node.url()).unwrap().connect("test").unwrap();
        let running = start(&format!("{}{query}", node.url()), consumer);
        Scene { node, running, connection }
    }

    #[track_caller]
    fn comes_back(&self) {
        comes_back(&self.running);
    }
}

fn start(url: &str, consumer: Consumer) -> Running {
    let mut worker = Worker::new(Broker::amqp(url).unwrap());
    worker.steps.add(consumer);
    worker.start().unwrap()
}

#[track_caller]
fn comes_back(running: &Running) {
    eventually("it consumes again", SOON, || running.consumers()[0].state == ConsumerState::Consuming);
}

/// The one complaint so far, which holds all this.
#[track_caller]
fn check(lines: &Lines, expected: &[&[&str]]) {
    let complaints = lines.complaints();
    assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
    for (line, words) in complaints.iter().zip(expected) {
        assert!(words.iter().all(|word| line.contains(word)), "{words:?} in {line}");
    }
}

/// Something between worker and broker that can cut all that passes through it.
struct Between {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Between {
    fn before(node: &Node) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let (kept, target) = (open.clone(), node.port());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || copy(&mut from, &mut to));
                }
                kept.lock().unwrap().extend([client, server]);
            }
        });
        Between { port, open }
    }

    fn cut(&self) {
        for socket in self.open.lock().unwrap().drain(..) {
            // It may be gone already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn a_connection_that_is_cut_is_one_line(lines: &Lines) {
    let node = Node::start();
    let between = Between::before(&node);
    let running = start(&format!("amqp://127.0.0.1:{}", between.port), Consumer::new("jobs", |_: String, _| Ok(Outcome::Ack)));
    for round in 1..=2 {
        between.cut();
        lines.nth(round, "step `connect-publisher` runs again");
        comes_back(&running);
        let expected: &[&[&str]] = &[&[
            "WARN step `connect` failed: the connection to the broker is lost",
            "; the broker was killed or restarted, or something between cut it; it starts again in",
        ]];
        check(lines, &expected.repeat(round));
    }
    assert_eq!(running.stop(), 0);
}

fn a_broker_that_falls_silent_is_one_line(lines: &Lines) {
    let mut scene = Scene::open("?heartbeat=1&connection_timeout=500");
    scene.node.freeze();
    lines.first("was silent for two heartbeats");
    // Long enough for a few attempts that are not answered either.
    eventually("it is away", SOON, || scene.running.consumers()[0].state == ConsumerState::Away);
    scene.node.thaw();
    lines.first("step `connect` runs again");
    scene.comes_back();
    // Whichever of the two connections notices first says so.
    check(lines, &[&["WARN step `connect", "silent for two heartbeats; the broker or the network between hangs: see to both"]]);
    assert_eq!(scene.running.stop(), 0);
}

fn a_broker_that_is_killed_is_a_line_for_the_loss_and_one_for_the_refusal(lines: &Lines) {
    let mut scene = Scene::open("");
    scene.node.kill();
    lines.first("onnection refused");
    scene.node.restart();
    scene.comes_back();
    lines.first("step `connect` runs again");
    lines.first("step `connect-publisher` runs again");
    let complaints = lines.complaints();
    assert!(complaints[0].contains("the connection to the broker is lost"), "{complaints:#?}");
    assert!(
        complaints[1].contains("onnection refused (os error 111); nobody listens there: start the broker"),
        "{complaints:#?}"
    );
    // While it boots it may hang up on whoever comes too early, which is another cause.
    assert!(complaints.len() <= 4, "{complaints:#?}");
    assert_eq!(scene.running.stop(), 0);
}

fn a_publishing_connection_lost_alone_is_one_line(lines: &Lines) {
    let scene = Scene::open("");
    let listed = scene.node.ctl(&["-q", "list_connections", "pid", "client_properties"]);
    let publishing = listed.lines().find(|line| line.contains("bootstep publishing")).expect("it is there");
    scene.node.ctl(&["close_connection", publishing.split_whitespace().next().unwrap(), "maintenance"]);
    lines.first("step `connect-publisher` runs again");
    check(lines, &[&["step `connect-publisher` failed:", "CONNECTION_FORCED - maintenance; an operator closed it, or"]]);
    assert_eq!(scene.running.stop(), 0);
}

fn an_operator_who_closes_all_connections_is_one_line(lines: &Lines) {
    let scene = Scene::open("");
    scene.node.ctl(&["close_all_connections", "maintenance"]);
    lines.first("step `connect` runs again");
    scene.comes_back();
    lines.first("step `connect-publisher` runs again");
    // Whichever of the two the operator comes to first.
    check(lines, &[&["WARN step `connect", "CONNECTION_FORCED - maintenance; an operator closed it, or"]]);
    assert_eq!(scene.running.stop(), 0);
}

fn a_consumer_timeout_is_one_line_with_the_time_and_the_remedy(lines: &Lines) {
    let node = Node::start();
    let set = "application:set_env(rabbit, consumer_timeout, 1000), application:set_env(rabbit, channel_tick_interval, 250).";
    node.ctl(&["eval", set]);
    let (let_go, wait) = std::sync::mpsc::sync_channel::<()>(8);
    let wait = Mutex::new(wait);
    let consumer = Consumer::new("jobs", move |_: String, message| {
        if !message.is_redelivered() {
            wait.lock().unwrap().recv_timeout(SOON)?;
        }
        Ok(Outcome::Ack)
    });
    let scene = Scene::with(node, "", consumer.prefetch(1));
    scene.connection.publish(&[Publication::new("", "jobs", "x").mandatory()], SOON).unwrap();
    let line = lines.first("its consumer timeout of 1000 ms");
    let_go.send(()).unwrap();
    eventually("it is done the second time", SOON, || scene.running.consumers()[0].acked == 2);
    let expected = "WARN `jobs`: the broker closed the channel: a message was held for ";
    assert!(line.starts_with(expected), "{line}");
    let held: f64 = line[expected.len()..].split('s').next().unwrap().parse().unwrap();
    assert!((1.0..3.0).contains(&held), "{line}");
    check(lines, &[&["make the handler quicker or the prefetch smaller, or raise the queue's `x-consumer-timeout`"]]);
    assert_eq!(scene.running.stop(), 0);
}

fn a_deleted_queue_is_one_line(lines: &Lines) {
    let scene = Scene::open("");
    for round in 1..=2 {
        scene.connection.delete_queue("jobs").unwrap();
        lines.nth(round, "the queue was deleted");
        scene.comes_back();
        check(
            lines,
            &[&["WARN `jobs`: the queue was deleted (or has expired); it is declared again"] as &[&str]].repeat(round),
        );
        // A second deletion within a second is not mended at once.
        let second = std::time::Instant::now() + std::time::Duration::from_secs(1);
        eventually("a second has passed", SOON, || std::time::Instant::now() > second);
    }
    assert_eq!(scene.running.stop(), 0);
}

fn a_deleted_queue_of_others_is_one_line_until_it_is_back(lines: &Lines) {
    let node = Node::start();
    Broker::amqp(&node.url()).unwrap().connect("owner").unwrap().declare_queue(&Queue::new("theirs")).unwrap();
    let scene = Scene::with(node, "", Consumer::new(Queue::existing("theirs"), |_: String, _| Ok(Outcome::Ack)));
    scene.connection.delete_queue("theirs").unwrap();
    lines.first("the queue was deleted");
    lines.first("no queue 'theirs'");
    // A few attempts later.
    let later = std::time::Instant::now() + std::time::Duration::from_secs(1);
    eventually("a second has passed", SOON, || std::time::Instant::now() > later);
    scene.connection.declare_queue(&Queue::new("theirs")).unwrap();
    scene.comes_back();
    check(
        lines,
        &[
            &["`theirs`: the queue was deleted", "whoever owns it has to declare it again; a new channel"],
            &["no queue 'theirs'", "declare the queue"],
        ],
    );
    assert_eq!(scene.running.stop(), 0);
}

fn what_ends_the_boot_names_cause_and_remedy(_lines: &Lines) {
    let node = Node::start();
    let boot = |url: &str, queue: Queue| {
        let mut worker = Worker::new(Broker::amqp(url).unwrap());
        worker.steps.add(Consumer::new(queue, |_: String, _| Ok(Outcome::Ack)));
        worker.start().unwrap_err()
    };
    node.ctl(&["add_user", "reader", "secret"]);
    let guest = node.url();
    let reader = guest.replace("guest:guest", "reader:secret");
    for (url, fault, words) in [
        (guest.replace("guest:guest", "guest:wrong"), Fault::AccessRefused, "check user name and password"),
        (node.url_of("nowhere"), Fault::AccessRefused, "vhost nowhere not found"),
        (reader.clone(), Fault::AccessRefused, "access to vhost '/' refused for user 'reader'"),
    ] {
        let err = boot(&url, Queue::new("jobs"));
        assert_eq!(err.fault(), fault);
        assert!(err.to_string().starts_with("step `connect` did not start") && err.to_string().contains(words), "{err}");
    }
    node.ctl(&["set_permissions", "reader", "", "", ".*"]);
    let err = boot(&reader, Queue::new("jobs"));
    assert!(err.to_string().contains("could not declare the queue `jobs`: ACCESS_REFUSED"), "{err}");
    let err = boot(&guest, Queue::existing("nowhere"));
    assert!(err.to_string().contains("no queue 'nowhere'"), "{err}");
}

fn a_permission_that_is_taken_away_is_one_line(lines: &Lines) {
    let node = Node::start();
    node.ctl(&["add_user", "worker", "secret"]);
    node.ctl(&["set_permissions", "worker", ".*", ".*", ".*"]);
    let running =
        start(&node.url().replace("guest:guest", "worker:secret"), Consumer::new("jobs", |_: String, _| Ok(Outcome::Ack)));
    node.ctl(&["clear_permissions", "worker"]);
    node.ctl(&["close_all_connections", "maintenance"]);
    lines.first("access to vhost '/' refused for user 'worker'");
    node.ctl(&["set_permissions", "worker", ".*", ".*", ".*"]);
    comes_back(&running);
    lines.first("step `connect-publisher` runs again");
    check(
        lines,
        &[
            &["CONNECTION_FORCED"],
            &["access to vhost '/' refused for user 'worker'", "; give the user access to it (`rabbitmqctl set_perm"],
        ],
    );
    assert_eq!(running.stop(), 0);
}

fn an_alarm_is_one_line_and_its_end_another(lines: &Lines) {
    let node = Node::start();
    let (let_go, wait) = std::sync::mpsc::sync_channel::<()>(8);
    let wait = Mutex::new(wait);
    let consumer = Consumer::new("jobs", move |_: String, message| {
        wait.lock().unwrap().recv_timeout(SOON)?;
        message.publish("", "copies", "x");
        Ok(Outcome::Ack)
    });
    let scene = Scene::with(node, "", consumer);
    scene.connection.declare_queue(&Queue::new("copies")).unwrap();
    scene.connection.publish(&[Publication::new("", "jobs", "x").mandatory()], SOON).unwrap();
    scene.node.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);
    // A broker tells those who publish.
    let_go.send(()).unwrap();
    lines.first("the broker takes no publishes");
    scene.node.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    lines.first("INFO the broker takes publishes again");
    check(lines, &[&["WARN the broker takes no publishes (low on memory): free its memory or disk"]]);
    assert_eq!(scene.running.stop(), 0);
}

fn a_host_that_is_gone_is_one_line_for_both_connections(lines: &Lines) {
    let node = Node::start_with(&Setup::default());
    let url = format!("amqp://127.0.0.1:1,127.0.0.1:{}", node.port());
    // The order of the hosts is chance: it meets the one that is gone sooner or later, and says so once.
    for _ in 0..20 {
        drop(Broker::amqp(&url).unwrap().connect("test").unwrap());
    }
    check(lines, &[&["WARN 127.0.0.1:1 was passed over for 127.0.0.1:", "nobody listens there: start the broker, or correct"]]);
}
