//! Pages for those who come from another system: its code and settings beside ours, what changes, how to move without stopping.

#[cfg(feature = "yaml")]
#[doc = include_str!("../docs/coming-from/amqp-dispatcher.md")]
pub mod amqp_dispatcher {}

#[doc = include_str!("../docs/coming-from/celery-amqp-events.md")]
pub mod celery_amqp_events {}

#[doc = include_str!("../docs/coming-from/celery-bootsteps.md")]
pub mod celery_bootsteps {}

#[doc = include_str!("../docs/coming-from/celery-message-consumer.md")]
pub mod celery_message_consumer {}

#[doc = include_str!("../docs/coming-from/demystifying-celery.md")]
pub mod demystifying_celery {}

#[cfg(all(feature = "toml", feature = "schema"))]
#[doc = include_str!("../docs/coming-from/fedora-messaging.md")]
pub mod fedora_messaging {}
