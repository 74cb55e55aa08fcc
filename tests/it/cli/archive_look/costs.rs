//! Looking must not use up a message's deliveries without saying so first.

use super::{given_up, Place};
use bootstep::Queue;
use std::io::Write;
use std::process::{Command, Stdio};

fn with_a_limit() -> Place {
    let queue = Queue::new("orders.archive").quorum().delivery_limit(5).max_length(1000).overflow("reject-publish");
    let place = Place::with(queue);
    place.send([given_up("1", "late"), given_up("2", "late")]);
    place
}

#[test]
fn a_queue_that_counts_looks_is_not_looked_at_without_a_yes() {
    let place = with_a_limit();
    if place.stage.is_rabbitmq_from([4, 3, 0]) {
        return looks_cost_nothing(&place);
    }
    for look in ["list", "show", "group"] {
        let (out, err, code) = place.said(&["archive", look, "orders"]);
        assert_eq!((out.as_str(), code), ("", 2));
        assert!(err.contains("delivery limit of 5") && err.contains("say `--yes`"), "{err}");
    }
    // Its arguments were asked for, and are what they were.
    place.stage.connection.declare_queue(&place.queue).unwrap();

    // Not one of these looks has cost anything.
    let first = place.prints(&["archive", "list", "orders", "--yes"]);
    assert!(first.lines().nth(1).unwrap().contains("  0/5  "), "{first}");
    place.until_ready(2);
    // A look at one costs the others nothing.
    assert_eq!(place.prints(&["archive", "list", "orders", "--yes", "--limit", "1"]).lines().count(), 2);
    place.until_ready(2);
    let third = place.prints(&["archive", "list", "orders", "--yes"]);
    assert!(third.contains("  2/5  ") && third.contains("  1/5  "), "{third}");
}

#[test]
fn a_person_at_a_terminal_is_asked() {
    let place = with_a_limit();
    if place.stage.is_rabbitmq_from([4, 3, 0]) {
        return; // there is nothing to ask
    }
    let (screen, code) = at_a_terminal(&place, "n\n");
    assert!(screen.contains("delivery limit of 5") && screen.contains("Go on? [y/N]"), "{screen}");
    assert!(code == Some(1) && screen.contains("nothing was done"), "{screen}");
    let (screen, code) = at_a_terminal(&place, "y\n");
    assert!(code == Some(0) && screen.contains("2 of 2 messages"), "{screen}");
}

/// What a terminal shows of `archive list` when this is typed, and how it ends.
fn at_a_terminal(place: &Place, typed: &str) -> (String, Option<i32>) {
    let list = place.command(&["archive", "list", "orders"]);
    let (name, value) = ("AMQP_URL", list.get_envs().find_map(|(name, value)| value.filter(|_| name == "AMQP_URL")));
    let line = format!("'{}' archive list orders", list.get_program().to_string_lossy());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env(name, value.expect("it was set"));
    let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`script` of util-linux starts");
    script.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

/// From RabbitMQ 4.3 on, what is handed back without a fault is not counted.
fn looks_cost_nothing(place: &Place) {
    for _ in 0..7 {
        let (out, err, code) = place.said(&["archive", "list", "orders"]);
        assert_eq!(code, 0, "{err}");
        assert!(err.starts_with("note: `orders.archive` may count deliveries; this look costs none"), "{err}");
        assert!(out.lines().nth(1).unwrap().contains("  0/5  "), "{out}");
        place.until_ready(2);
    }
}

#[test]
fn where_looking_costs_nothing_nobody_is_asked() {
    let classic = Place::with(Queue::new("orders.archive").max_length(10).overflow("reject-publish"));
    classic.send([given_up("1", "late")]);
    for _ in 0..2 {
        assert_eq!(classic.prints(&["archive", "list", "orders"]).lines().count(), 2);
    }

    let unlimited = match classic.stage.is_rabbitmq_from([4, 0, 0]) {
        true => Place::with(Queue::new("orders.archive").quorum().argument("x-delivery-limit", -1)),
        false => Place::with(Queue::new("orders.archive").quorum()),
    };
    unlimited.send([given_up("1", "late")]);
    for _ in 0..2 {
        assert_eq!(unlimited.prints(&["archive", "list", "orders"]).lines().count(), 2);
        unlimited.until_ready(1);
    }
}

#[test]
fn a_quorum_queue_without_a_limit_of_its_own_has_the_brokers() {
    let place = Place::with(Queue::new("orders.archive").quorum());
    place.send([given_up("1", "late")]);
    let (_, err, code) = place.said(&["archive", "list", "orders"]);
    match place.stage.is_rabbitmq_from([4, 0, 0]) {
        true if place.stage.is_rabbitmq_from([4, 3, 0]) => assert!(code == 0 && err.starts_with("note: "), "{err}"),
        true => assert!(code == 2 && err.contains("delivery limit of 20"), "{err}"),
        false => assert_eq!(code, 0, "{err}"),
    }
}
