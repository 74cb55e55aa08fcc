//! The transport to RabbitMQ, over amiquip.
