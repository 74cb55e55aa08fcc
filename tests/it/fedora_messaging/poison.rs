//! What Python's consumers die of, or throw away, leaves a worker alive and every message in its place.

use super::{config, declare_lost, publication, start, telling, ONE_QUEUE};
use crate::support::stage::{Stage, SOON};
use bootstep::steps::fedora_messaging::ConsumeFedoraMessages;
use bootstep::{Publication, Value};

crate::on_both!(poison_leaves_the_worker_alive_and_each_message_in_its_place);

/// D1: what cannot be read goes to the dead letters, and is no reason to stop.
fn poison_leaves_the_worker_alive_and_each_message_in_its_place(stage: &Stage) {
    declare_lost(stage);
    let (callback, told) = telling();
    let running = start(stage, ConsumeFedoraMessages::new(&config(ONE_QUEUE), callback));
    let with_body = |body: &[u8]| Publication::new("amq.topic", "test.x", body).with(publication("x").properties);
    let changed = |change: fn(&mut Publication)| {
        let mut odd = publication("odd");
        change(&mut odd);
        odd
    };
    let bad = [
        with_body(b"{"),
        with_body(b"{\"word\": \"\xff\"}"),
        with_body(b"[1]"),
        with_body(b""),
        changed(|it| it.properties.content_encoding = Some("x-gzip-of-my-own".into())),
        changed(|it| it.properties.headers.as_mut().unwrap().extend([("fedora_messaging_severity".into(), Value::I32(7))])),
    ];
    let good = [
        changed(|it| it.properties.content_type = Some("text/plain".into())),
        changed(|it| it.properties.headers.as_mut().unwrap().extend([("fedora_messaging_severity".into(), Value::I16(20))])),
        changed(|it| it.properties.headers = None),
        changed(|it| it.properties.content_encoding = None),
    ];
    stage.send(&[bad.as_slice(), &good, &[publication("last")]].concat()).unwrap();
    let heard: Vec<String> = (0..5).map(|_| told.recv_timeout(SOON).unwrap().topic).collect();
    assert_eq!(heard, ["test.odd", "test.odd", "test.odd", "test.odd", "test.last"]);
    let mut dead: Vec<_> = stage.take("mine.lost", bad.len()).iter().map(|message| message.body().to_vec()).collect();
    let mut expected: Vec<_> = bad.iter().map(|message| message.body().to_vec()).collect();
    dead.sort();
    expected.sort();
    assert_eq!(dead, expected);
    stage.until("all are counted", || running.consumers()[0].acked == 5);
    let status = &running.consumers()[0];
    assert_eq!((status.acked, status.rejected, status.requeued, status.failed), (5, 6, 0, 0));
    assert_eq!(running.stop(), 0);
}
