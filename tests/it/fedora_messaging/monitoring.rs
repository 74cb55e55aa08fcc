//! The health of a consumer, served where its configuration says.

use super::{message, start, ONE_QUEUE};
use crate::serve_health::{free_port, get};
use crate::support::stage::Stage;
use bootstep::steps::fedora_messaging::{Config, ConsumeFedoraMessages, Drop, FedoraMessage, FedoraPublisher};
use bootstep::BoxError;
use serde_json::json;

crate::on_both!(its_health_is_served_with_the_counts_of_the_contract);

/// D3
fn its_health_is_served_with_the_counts_of_the_contract(stage: &Stage) {
    let port = free_port();
    let text = format!("monitoring = {{address = '127.0.0.1', port = {port}}}\n{ONE_QUEUE}");
    let config = Config::from_toml(&text).unwrap();
    let publisher = FedoraPublisher::on(stage.broker.clone(), &config);
    let callback = |message: &FedoraMessage| -> Result<(), BoxError> {
        match message.topic.as_str() {
            "test.drop" => Err(Drop.into()),
            _ => Ok(()),
        }
    };
    let running = start(stage, ConsumeFedoraMessages::new(&config, callback).count_published(&publisher));
    ["ok", "drop", "ok"].iter().for_each(|word| publisher.publish(&message(word)).unwrap());
    stage.until("all are counted", || get(port, "/ready").1["consumed"]["processed"] == 2);
    let (status, body) = get(port, "/ready");
    assert_eq!((status, &body["consuming"], &body["published"]), (200, &json!(true), &json!(3)));
    assert_eq!(body["consumed"], json!({"received": 3, "processed": 2, "dropped": 1, "rejected": 0, "failed": 0}));
    stage.connection.delete_queue("mine").unwrap();
    assert_eq!(running.wait(), 12);
}
