//! Every example runs, prints what it says, and ends. (`testing_steps` is built as a test by `cargo test`, and runs itself.)

use std::path::PathBuf;
use std::process::Command;

/// The path of a built example: cargo builds them all before it runs the tests.
pub fn built(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().and_then(|deps| deps.parent()).unwrap();
    let path = folder.join("examples").join(name);
    assert!(path.exists(), "{} is not built; run `cargo build --examples`", path.display());
    path
}

#[track_caller]
fn lines_of(name: &str) -> Vec<String> {
    let output = Command::new(built(name)).env_remove("AMQP_URL").env_remove("RABBITMQ_URL").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn custom_consumer_boots_handles_and_shows_its_dead_letter() {
    let lines = lines_of("custom_consumer");
    assert_eq!(lines[0], "AMQP_URL is not set: this runs on the memory broker, in this process");
    let order: Vec<&str> = lines[2..8].iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    let expected = [
        "handle-signals",
        "connect",
        "connect-publisher",
        "spawn-pool",
        "declare-dead-letters",
        "ConsumeOrders(example.orders)",
    ];
    assert_eq!(order, expected);
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(has("order 1 by `order.web`") && has("order 3 by `order.web`"));
    assert!(has("order 2: attempt 2 failed") && has("order 2 by `order.phone`"));
    let dead = "in `example.orders.dead`: \"an order of three, please\", because the body is not the JSON that is wanted";
    assert!(has(dead), "{lines:#?}");
    assert_eq!(lines.last().unwrap(), "ended with exit code 0");
}

#[cfg(all(feature = "toml", feature = "schema", feature = "http"))]
#[test]
fn fedora_messaging_answers_each_message_and_ends_with_its_callbacks_code() {
    let lines = lines_of("fedora_messaging");
    let expected = [
        "FEDORA_MESSAGING_CONF is not set: this runs on the memory broker, in this process",
        "heard ada: works for me",
        "dropped: a comment of eve",
        "nacked: a comment of max",
        "nacked: a comment of max",
        "nacked: a comment of max",
        r#"in `comments.lost`: {"author":"eve","text":"spam"}, {"author":"joe","text":7}"#,
        r#"in `comments.archive`: {"author":"max","text":"later"}"#,
        "ended with exit code 42",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn greetings_greets() {
    assert_eq!(lines_of("greetings"), ["hello, memory broker"]);
}

#[test]
fn celery_message_consumer_retries_archives_and_moves_back() {
    let mut lines = lines_of("celery_message_consumer");
    assert_eq!(lines.remove(0), "AMQP_URL is not set: this runs on the memory broker, in this process");
    assert_eq!(lines.pop().as_deref(), Some("ended with exit code 0"));
    assert_eq!(lines.pop().as_deref(), Some("1 moved back and tried again; 2 in the archive"));
    // Handlers run side by side.
    lines.sort();
    let expected = [
        "in `order.paid.archived`: three cups because the body is not the JSON that is wanted: expected ident at line 1 column 2",
        "in `order.paid.archived`: {\"id\": 3} because there is no such order",
        "noted `order.late`",
        "noted `order.paid`",
        "noted `order.paid`",
        "noted `order.paid`",
        "order 1 packed in attempt 1",
        "order 2 packed in attempt 3",
        "order 4: sorry for `order.late`",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn celery_amqp_events_handles_retries_and_archives() {
    let lines = lines_of("celery_amqp_events");
    let has = |text: &str| lines.iter().any(|line| line == text);
    assert!(has("order 1 is paid with 12.5") && has("the receipt of order 1 is sent"), "{lines:#?}");
    assert!(has("order 3 is not published: an order is paid with more than nothing"));
    assert!(has("order 4 is paid with 7") && has("order 2: attempt 11 failed") && !has("order 2: attempt 12 failed"));
    let archived =
        "archived: {'amount': 99.0, 'note': 'disputed', 'order_id': 2} after 11 attempts, because the order is disputed";
    assert!(has(archived), "{lines:#?}");
    assert_eq!(lines.last().unwrap(), "ended with exit code 0");
}

#[test]
#[cfg(feature = "yaml")]
fn amqp_dispatcher_starts_up_retries_rejects_and_shuts_its_instances_down() {
    let lines = lines_of("amqp_dispatcher");
    assert_eq!(lines[1], "starting up");
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("told by `click.left` at attempt 1"), 1, "{lines:#?}");
    assert_eq!(count("told by `transaction.new` at attempt 2"), 1);
    assert_eq!(count("an instance goes after") - count("the worker ends"), 1, "the one that failed");
    assert_eq!(count("the worker ends"), 2);
    assert_eq!((count("sent: [\"hello\", \"shaky\"]"), count("rejected: 1")), (1, 1));
    assert_eq!(lines.last().unwrap(), "ended with exit code 0");
}

#[test]
fn consume_from_handles_dead_letters_and_passes_on_to_celery() {
    let lines = lines_of("consume_from");
    let expected = [
        "order 7 by `order.web`",
        "in `example.orders.dead`: [\"{bad\"]",
        "for Celery: shop.tasks.answer({\"from\":\"Ada\"})",
        "ended with exit code 0",
    ];
    assert_eq!(lines[1..], expected);
}
