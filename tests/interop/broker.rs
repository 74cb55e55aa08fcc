//! What is declared in a virtual host, as lines to compare: what `rabbitmqctl` lists, without what every broker and every Celery has.

use crate::support::node::Node;
use std::collections::BTreeSet;
use std::thread;

/// Exchanges, queues and bindings, one a line.
pub type Declared = BTreeSet<String>;

const LISTS: [(&str, &[&str]); 3] = [
    ("list_exchanges", &["name", "type", "durable", "auto_delete", "internal", "arguments"]),
    ("list_queues", &["name", "durable", "auto_delete", "exclusive", "arguments"]),
    ("list_bindings", &["source_name", "destination_name", "destination_kind", "routing_key", "arguments"]),
];

/// This makes a virtual host, and answers its URL.
pub fn virtual_host(node: &Node, name: &str) -> String {
    // One `eval` for what takes two commands: each start of `rabbitmqctl` costs most of a second.
    let everything = r#"<<".*">>, <<".*">>, <<".*">>"#;
    node.ctl(&[
        "eval",
        &format!(
            r#"ok = rabbit_vhost:add(<<"{name}">>, <<"interop">>),
               ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, {everything}, <<"interop">>)."#
        ),
    ]);
    node.url_of(name)
}

/// All that is declared there.
pub fn declared(node: &Node, vhost: &str) -> Declared {
    let list = |(command, columns): &(&str, &[&str])| {
        let mut arguments = vec![*command, "-p", vhost, "--no-table-headers"];
        arguments.extend(*columns);
        let what = command.trim_start_matches("list_").trim_end_matches('s');
        let printed = node.ctl(&arguments);
        printed
            .lines()
            .filter(|line| is_of_the_case(what, line))
            .map(|line| format!("{what} {}", sorted(line)))
            .collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let lists: Vec<_> = LISTS.iter().map(|wanted| scope.spawn(move || list(wanted))).collect();
        lists.into_iter().flat_map(|list| list.join().expect("a list can be read")).collect()
    })
}

/// The exchanges that every broker has are not declared by anybody; the queue, exchange and mailbox of Celery itself are not the
/// package's, and nobody else needs them.
fn is_of_the_case(what: &str, line: &str) -> bool {
    let is_celerys = line.contains("celery");
    let is_the_brokers = what == "exchange" && (line.starts_with("amq.") || line.starts_with('\t'));
    !is_celerys && !is_the_brokers && !line.trim().is_empty()
}

/// The line with its arguments in order: it is no difference in which one they were given.
fn sorted(line: &str) -> String {
    let Some((rest, arguments)) = line.split_once('[') else { return line.to_owned() };
    let mut arguments: Vec<&str> =
        arguments.trim_end_matches(']').split("},{").map(|one| one.trim_matches(['{', '}'])).collect();
    arguments.sort_unstable();
    format!("{rest}[{}]", arguments.join(", "))
}

/// What one has and the other has not.
pub fn difference(one: &Declared, other: &Declared) -> String {
    let only = |these: &Declared, those: &Declared| these.difference(those).cloned().collect::<Vec<_>>().join("; ");
    format!("only the first: {}; only the second: {}", only(one, other), only(other, one))
}
