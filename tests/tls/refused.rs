//! Handshakes that come to nothing: with whoever is not a broker for TLS, too old, or silent.

use crate::authority::{Authority, Identity};
use crate::nodes::shared_node;
use bootstep::{Broker, Error, Fault};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn refused(url: &str) -> Error {
    let err = Broker::amqp(url).unwrap().connect("test").expect_err("nobody can be connected to");
    assert!(!format!("{err} {err:?}").contains("s3cret"), "{err}");
    err
}

#[track_caller]
fn assert_told(err: &Error, fault: Fault, expected: &str) {
    assert!(err.to_string().contains(expected), "{err}");
    assert_eq!(err.fault(), fault, "{err}");
}

#[test]
fn the_port_without_tls_is_told_apart() {
    let node = shared_node();
    let url = node.0.url();
    let port = url.trim_end_matches("/%2f").rsplit(':').next().unwrap().parse().unwrap();
    let err = refused(&node.url_at("guest:s3cret@localhost", port, ""));
    assert_told(&err, Fault::Config, "what it answers is not TLS: use the port for TLS, usually 5671, or write `amqp://`");
}

#[test]
fn the_port_for_tls_is_told_apart() {
    let err = refused(&format!("amqp://guest:s3cret@localhost:{}", shared_node().0.tls_port()));
    assert_told(&err, Fault::Config, "the port speaks TLS: write `amqps://`");
}

#[test]
fn a_listener_that_never_says_a_word_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let ca = shared_node().file("ca.pem");
    let port = silent.local_addr().unwrap().port();
    let begin = Instant::now();
    let err = refused(&format!("amqps://guest:s3cret@localhost:{port}?connection_timeout=500&cacertfile={}", ca.display()));
    assert_told(&err, Fault::Timeout, "did not finish the TLS handshake in time");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_listener_that_hangs_up_may_be_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let hanging_up = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        // What was not read would reset the connection instead of ending it.
        let _ = std::io::Read::read(&mut socket, &mut [0; 16 * 1024]);
    });
    let err = refused(&format!("amqps://guest:s3cret@localhost:{port}?cacertfile={}", shared_node().file("ca.pem").display()));
    hanging_up.join().unwrap();
    assert_told(&err, Fault::Unreachable, "closed the connection during the TLS handshake");
}

#[test]
fn a_certificate_out_of_its_time_or_signed_by_nobody_is_refused() {
    let authority = Authority::named("authority");
    let expired = authority.signs_expired("a broker", &["localhost"]);
    assert_told(&served(&authority, expired), Fault::AccessRefused, "its certificate has expired, or the clock here is wrong");
    let nameless = authority.signs("localhost", &[]);
    let err = served(&authority, nameless);
    assert_told(&err, Fault::AccessRefused, "its certificate is not for `localhost`; names in it: none");
    assert_told(&err, Fault::AccessRefused, "a common name does not count");
}

/// What is said of a server that has this certificate, by a client that trusts the authority.
fn served(authority: &Authority, server: Identity) -> Error {
    let folder = TempDir::with_prefix("bootstep-tls-").unwrap();
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let mut session = ServerConnection::new(Arc::new(config)).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        while session.is_handshaking() && session.complete_io(&mut socket).is_ok() {}
    });
    let err = refused(&format!("amqps://guest:s3cret@localhost:{port}?cacertfile={}", ca.display()));
    serving.join().unwrap();
    err
}
