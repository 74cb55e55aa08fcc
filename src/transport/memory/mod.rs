//! A broker in this process, with RabbitMQ's semantics or a refusal.
