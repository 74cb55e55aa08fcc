//! Tasks on the wire and back: both protocols, both spellings, and what is no task.

use super::*;
use serde::Deserialize;

fn message(headers: &[(&str, Value)], body: &str) -> Message {
    let mut publication = Publication::new("", "celery", body).content_type("application/json");
    publication.properties.headers = Some(headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect());
    Message::from_publication(publication)
}

#[track_caller]
fn refused(headers: &[(&str, Value)], body: &str, expected: &str) {
    let error = Task::decode(&message(headers, body)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_task_has_every_header_of_protocol_2_and_no_int16() {
    let task = Task::new("pay").arg("x").kwarg("a", Any::Null);
    let publication = task.to_publication("events", "order.paid");
    let headers = publication.properties.headers.as_ref().unwrap();
    let names: Vec<&str> = headers.keys().map(String::as_str).collect();
    let mut expected = OWN_HEADERS;
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(headers["timelimit"], Value::Array(vec![Value::Null; 2]));
    assert_eq!((&headers["retries"], &headers["stamps"]), (&Value::I32(0), &Value::Table(Table::new())));
    assert_eq!((headers["argsrepr"].as_str(), headers["kwargsrepr"].as_str()), (Some("('x',)"), Some("{'a': None}")));
    assert!(headers["origin"].as_str().unwrap().starts_with(&format!("gen{}@", std::process::id())));
    assert_eq!((&headers["root_id"], &headers["parent_id"]), (&headers["id"], &Value::Null));
    let properties = &publication.properties;
    assert_eq!(properties.correlation_id.as_deref(), Some(task.id.as_str()));
    assert_eq!((properties.delivery_mode, properties.priority), (Some(2), Some(0)));
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(properties.content_encoding.as_deref(), Some("utf-8"));
    assert!(properties.reply_to.is_some() && !publication.mandatory);
}

#[test]
fn an_id_is_a_uuid_of_version_4_and_no_two_are_alike() {
    let (id, other) = (Task::new("x").id, Task::new("x").id);
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12]);
    assert!(id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
    assert_ne!(id, other);
}

#[test]
fn the_headers_of_others_stay_with_a_task() {
    let mut task = Task::new("pay");
    task.headers.insert("traceparent".into(), "00-1".into());
    (task.retries, task.eta, task.parent_id) = (3, Some("2026-01-01T00:00:00+00:00".into()), Some("p".into()));
    let came = Task::decode(&Message::from_publication(task.to_publication("", "q"))).unwrap();
    assert_eq!(came, task);
}

#[test]
fn the_least_that_a_python_worker_takes_is_taken() {
    let headers = [("task", "pay".into()), ("id", "7".into()), ("retries", Value::I16(2))];
    let task = Task::decode(&message(&headers, "[[1], {\"a\": 2}, {}]")).unwrap();
    assert_eq!((task.name.as_str(), task.id.as_str(), task.retries), ("pay", "7", 2));
    assert_eq!((task.args, task.kwargs["a"].clone()), (vec![1.into()], 2.into()));
    let negative = [("task", "pay".into()), ("id", "7".into()), ("retries", Value::I32(-2))];
    assert_eq!(Task::decode(&message(&negative, "[[], {}, null]")).unwrap().retries, 0);
}

#[test]
fn a_body_of_protocol_1_is_taken() {
    let task =
        Task::decode(&message(&[], r#"{"task": "pay", "id": "7", "args": [1], "kwargs": {"a": 2}, "retries": 4}"#)).unwrap();
    assert_eq!((task.name.as_str(), task.id.as_str(), task.retries), ("pay", "7", 4));
    assert_eq!((task.args.len(), task.kwargs.len()), (1, 1));
    let bare = Task::decode(&message(&[], r#"{"task": "pay", "id": "7"}"#)).unwrap();
    assert!(bare.args.is_empty() && bare.kwargs.is_empty());
}

#[test]
fn what_is_no_task_is_told_without_quoting_it() {
    let named = [("task", "pay".into()), ("id", "7".into())];
    refused(&[], r#"{"secret": 1}"#, "this is no task of Celery: it has no header `task`, and its body does not name one");
    refused(&[], "[[1], {}, {}]", "no header `task`");
    refused(&[], "{bad", "no header `task`, and the body is not the JSON that is wanted");
    refused(&named, "{bad", "the body is not the JSON that is wanted");
    refused(&named, r#"{"secret": 1}"#, "the body is not the JSON that is wanted");
    refused(&named[..1], "[[], {}, {}]", "the header `id` of the task is missing");
    refused(&[("task", 7.into())], "[[], {}, {}]", "the header `task` is no text");
    refused(&[], r#"{"task": "pay", "id": "7", "args": {}}"#, "`args` in the body of the task `pay` has another form");
    refused(&[], r#"{"task": "pay"}"#, "`id` in the body of the task `pay` is missing");
    let zipped = [named[0].clone(), named[1].clone(), ("compression", "application/x-gzip".into())];
    refused(&zipped, "[[], {}, {}]", "compressed (`application/x-gzip`)");
}

#[derive(Debug, Deserialize, PartialEq)]
struct Paid {
    order_id: u64,
    amount: f64,
    #[serde(default)]
    note: String,
}

#[test]
fn arguments_are_bound_as_python_binds_them() {
    #[track_caller]
    fn check(task: Task, expected: Result<(u64, f64, &str), &str>) {
        let paid = task.arguments::<Paid>();
        let paid = paid.as_ref().map(|paid| (paid.order_id, paid.amount, paid.note.as_str()));
        assert_eq!(paid.map_err(ToString::to_string), expected.map_err(str::to_owned));
    }
    let task = || Task::new("pay");
    check(task().arg(7).arg(1.5), Ok((7, 1.5, "")));
    check(task().arg(7).arg(1.5).arg("x"), Ok((7, 1.5, "x")));
    check(task().arg(7).kwarg("note", "x").kwarg("amount", 1.5), Ok((7, 1.5, "x")));
    check(task().kwarg("amount", 2).kwarg("order_id", 7), Ok((7, 2.0, "")));
    check(task().arg(7).arg(1.5).arg("x").arg(4), Err("the task `pay` takes 3 positional arguments, and 4 were given"));
    check(task().arg(7).kwarg("colour", "red"), Err("the task `pay` takes no argument `colour`"));
    check(task().arg(7).kwarg("order_id", 7), Err("the task `pay` got the argument `order_id` twice"));
    check(task().arg(7), Err("the task `pay` lacks the argument `amount`"));
    let secret = "the argument `amount` of the task `pay` is not what is wanted: invalid type, expected f64";
    check(task().arg(7).arg("secret"), Err(secret));
}

#[test]
fn bound_by_name_every_missing_one_is_named() {
    let error = Task::new("pay").arg(1).bind(&["a", "b", "c"]).unwrap_err();
    assert_eq!(error.to_string(), "the task `pay` lacks the argument `b`, `c`");
    assert_eq!(Task::new("pay").kwarg("b", 2).arg(1).bind(&["a", "b"]).unwrap().len(), 2);
}

#[test]
fn other_forms_than_structs_take_one_spelling() {
    let (by_place, by_name) = (Task::new("x").arg(1).arg("a"), Task::new("x").kwarg("b", 2));
    assert_eq!(by_place.arguments::<(u8, String)>().unwrap(), (1, "a".to_owned()));
    assert_eq!(by_name.arguments::<std::collections::BTreeMap<String, u8>>().unwrap()["b"], 2);
    assert_eq!(by_name.arguments::<Any>().unwrap(), json!({"b": 2}));
    assert_eq!(by_place.arguments::<Any>().unwrap(), json!([1, "a"]));
    Task::new("x").arguments::<()>().unwrap();
    let refused = |error: DecodeError| error.to_string();
    assert_eq!(by_name.arguments::<(u8,)>().map_err(refused), Err("the task `x` takes no argument `b`".into()));
    assert!(by_place
        .arguments::<()>()
        .map_err(refused)
        .unwrap_err()
        .contains("takes 0 positional arguments, and 2 were given"));
    assert!(by_place.arguments::<(u8,)>().is_err() && by_place.arguments::<(u8, u8)>().is_err());
}

#[test]
fn a_value_becomes_arguments_by_its_form() {
    #[derive(serde::Serialize)]
    struct Named {
        a: u8,
    }
    let task = Task::new("x").with_arguments(&Named { a: 1 }).unwrap().with_arguments(&(2, "b")).unwrap();
    assert_eq!((task.args, task.kwargs["a"].clone()), (vec![json!(2), json!("b")], json!(1)));
    assert!(Task::new("x").with_arguments(&()).unwrap().args.is_empty());
    assert!(Task::new("x").with_arguments(&7).is_err());
}

#[test]
fn what_kombu_wraps_is_read_as_the_text_it_holds() {
    let date = json!({"__type__": "datetime", "__value__": "2026-01-01T00:00:00"});
    let uuid = json!({"__type__": "uuid", "__value__": {"hex": "00ff"}});
    let bound = Task::new("x").arg(json!([date])).arg(uuid).bind(&["days", "id"]).unwrap();
    assert_eq!(Any::Object(bound), json!({"days": ["2026-01-01T00:00:00"], "id": "00ff"}));
}
