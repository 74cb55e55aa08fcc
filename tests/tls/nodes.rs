//! RabbitMQ nodes that listen for TLS, with the files that a client of theirs may name in its URL.

use crate::authority::{Authority, Identity};
use crate::support::node::{Node, Setup};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// Long enough for anything that is going to happen at all.
pub const SOON: Duration = Duration::from_secs(20);

/// The user that the client's certificate stands for.
pub const CLIENT: &str = "bootstep-client";

/// A node, and in its folder: `ca.pem`, which signed the node's certificate and `client.pem` with `client.key`; `stranger.pem`,
/// which signed `strange.pem` with `strange.key`.
pub struct TlsNode(pub Node);

impl TlsNode {
    /// `extra` are lines for its configuration.
    pub fn start(extra: &str) -> TlsNode {
        let (authority, stranger) = (Authority::named("the tests' authority"), Authority::named("a stranger"));
        let server = authority.signs("a broker", &["localhost", "127.0.0.1", "broker.example"]);
        let client = authority.signs(CLIENT, &[]);
        let strange = stranger.signs(CLIENT, &[]);
        let mut files = vec![("ca.pem", authority.pem()), ("stranger.pem", stranger.pem())];
        let mut add = |names: [&'static str; 2], identity: Identity| {
            files.extend([(names[0], identity.certificate), (names[1], identity.key)]);
        };
        add(["server.pem", "server.key"], server);
        add(["client.pem", "client.key"], client);
        add(["strange.pem", "strange.key"], strange);
        let config = format!(
            "listeners.ssl.default = 127.0.0.1:{{tls-port}}\n\
             ssl_options.cacertfile = {{folder}}/ca.pem\n\
             ssl_options.certfile = {{folder}}/server.pem\n\
             ssl_options.keyfile = {{folder}}/server.key\n\
             ssl_options.verify = verify_peer\n\
             auth_mechanisms.1 = PLAIN\n\
             auth_mechanisms.2 = EXTERNAL\n\
             ssl_cert_login_from = common_name\n\
             {extra}"
        );
        TlsNode(Node::start_with(&Setup { config, plugins: &["rabbitmq_auth_mechanism_ssl"], files }))
    }

    /// A file of the node's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.folder().join(name)
    }

    /// A URL that trusts the node's authority; `more` is further in its query, where `{folder}` stands for the node's folder.
    pub fn url(&self, more: &str) -> String {
        self.url_at("localhost", self.0.tls_port(), more)
    }

    pub fn url_at(&self, host: &str, port: u16, more: &str) -> String {
        let folder = self.0.folder().to_string_lossy().into_owned();
        let more = more.replace("{folder}", &folder);
        format!("amqps://{host}:{port}?cacertfile={folder}/ca.pem&{more}")
    }
}

/// A node that lets anybody in who knows a password; for cases that do not break it. It speaks TLS 1.3.
pub fn shared_node() -> &'static TlsNode {
    static SHARED: OnceLock<TlsNode> = OnceLock::new();
    SHARED.get_or_init(|| {
        let node = TlsNode::start("ssl_options.fail_if_no_peer_cert = false\nssl_options.versions.1 = tlsv1.3\n");
        let everything = r#"<<".*">>, <<".*">>, <<".*">>"#;
        let added = node.0.ctl(&[
            "eval",
            &format!(
                r#"ok = rabbit_auth_backend_internal:add_user(<<"{CLIENT}">>, <<"s3cret">>, <<"tests">>),
                   ok = rabbit_auth_backend_internal:set_permissions(<<"{CLIENT}">>, <<"/">>, {everything}, <<"tests">>)."#
            ),
        ]);
        assert_eq!(added.trim(), "ok");
        node
    })
}
