//! What TLS is to users: certificates accepted and refused, in words; and that nothing is lost or stuck behind it.

mod authority;
mod data;
mod files;
mod login;
mod nodes;
mod proxy;
mod refused;
mod stream;
mod support;
