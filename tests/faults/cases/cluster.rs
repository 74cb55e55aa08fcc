//! Three nodes, and the one that leads the queue dies.

use super::Scene;
use crate::field::Field;
use crate::injury::Injury;
use crate::judge::Verdict;
use crate::settings::{Kind, Mix};
use crate::support::node::Node;
use crate::support::{now_ms, pass, setup};
use std::time::Duration;

/// The node that leads the main queue is killed twice, under load, and comes back. A classic queue lives on one node alone: there
/// it is that node.
pub fn leader_lost(scene: &mut Scene<'_>) -> (Field, Verdict) {
    let setup = setup();
    let first = Node::start_with(&setup);
    let second = Node::start_beside(&first, &setup);
    let third = Node::start_beside(&first, &setup);
    let mut nodes = [first, second, third];
    let hosts: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.amqp_port())).collect();
    let settings = scene.settings(Mix::Everything);
    let mut field = Field::direct(&nodes[0], settings.clone(), 3, &hosts.join(","));
    field.start_all();
    let url = field.url().to_owned();
    let mut published = std::mem::take(&mut field.published);
    let publisher = std::thread::spawn(move || {
        let outcome = published.publish(&url, &settings, 10_000, Duration::from_secs(20));
        (published, outcome)
    });
    for _ in 0..2 {
        pass(Duration::from_secs(2));
        let leader = leader_of(&nodes[0], scene.kind, &field.settings.queue);
        let leading = nodes.iter().position(|node| node.name() == leader).expect("one of ours leads");
        let began = now_ms();
        nodes[leading].kill();
        // Long enough for another to be elected and to be consumed from.
        pass(Duration::from_secs(3));
        nodes[leading].restart();
        field.note(Injury::LeaderLost, began);
        field.hops.push((began, now_ms()));
    }
    let (published, outcome) = publisher.join().expect("the publisher does not panic");
    field.published = published;
    outcome.unwrap_or_else(|what| field.complain(what));
    let verdict = field.conclude(&nodes[0], Duration::from_secs(90));
    (field, verdict)
}

fn leader_of(node: &Node, kind: Kind, queue: &str) -> String {
    let lookup = format!(r#"{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>))"#);
    let leader = match kind {
        Kind::Quorum => "{_, Leader} = amqqueue:get_pid(Queue)",
        Kind::Classic => "Leader = node(amqqueue:get_pid(Queue))",
    };
    node.ctl(&["eval", &format!("{lookup}, {leader}, Leader.")]).trim().trim_matches('\'').to_owned()
}
