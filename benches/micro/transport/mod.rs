//! Stands where the crate's own module stands, because the files below name each other by that place.

pub mod amqp;
