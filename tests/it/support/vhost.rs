//! Virtual hosts for the tests, so that two tests, or two runs against one broker, never meet in a queue.

use super::management::Management;
use super::node::{shared_node, Node};
use std::env;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use url::Url;

static NAMED: AtomicU32 = AtomicU32::new(0);

/// A virtual host of the tests' own, and the URL to reach it. On a foreign broker it is deleted when dropped; on the private node it goes
/// with the node, because deleting it alone would cost each test a second.
#[derive(Debug)]
pub struct VirtualHost {
    pub url: String,
    name: String,
    home: Home,
}

#[derive(Debug)]
enum Home {
    Private,
    Foreign(Management),
}

/// A virtual host that only the caller uses: for tests that look at all its queues, or that change its policies or limits.
pub fn fresh_vhost() -> VirtualHost {
    let name = unique("bootstep-test");
    match env::var("AMQP_URL") {
        Ok(url) => on_foreign_broker(&url, name),
        Err(_) => on_private_node(shared_node(), name),
    }
}

/// The same on the private node, whatever broker the other tests are tried on.
pub fn private_vhost() -> VirtualHost {
    on_private_node(shared_node(), unique("bootstep-test"))
}

/// The virtual host that the tests of this process share; name what you put there with [`unique`].
pub fn shared_vhost() -> Arc<VirtualHost> {
    // A static is never dropped, and on a foreign broker somebody must delete it: there the last test that uses it does.
    static SHARED: Mutex<Weak<VirtualHost>> = Mutex::new(Weak::new());
    static FOR_THE_WHOLE_PROCESS: OnceLock<Arc<VirtualHost>> = OnceLock::new();
    // A test that failed for want of a broker poisons the lock; the others should say the same, not this.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(vhost) = shared.upgrade() {
        return vhost;
    }
    let vhost = Arc::new(fresh_vhost());
    *shared = Arc::downgrade(&vhost);
    if matches!(vhost.home, Home::Private) {
        FOR_THE_WHOLE_PROCESS.get_or_init(|| Arc::clone(&vhost));
    }
    vhost
}

/// A name that no other test and no other run uses: `prefix`, the process id and a number.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}-{}", process::id(), NAMED.fetch_add(1, Ordering::Relaxed))
}

fn on_private_node(node: &Node, name: String) -> VirtualHost {
    // One `eval` for what takes two commands: each start of `rabbitmqctl` costs most of a second.
    let everything = r#"<<".*">>, <<".*">>, <<".*">>"#;
    let printed = node.ctl(&[
        "eval",
        &format!(
            r#"ok = rabbit_vhost:add(<<"{name}">>, <<"tests">>),
               ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, {everything}, <<"tests">>)."#
        ),
    ]);
    assert_eq!(printed.trim(), "ok", "the virtual host could not be made");
    VirtualHost { url: node.url_of(&name), name, home: Home::Private }
}

fn on_foreign_broker(text: &str, name: String) -> VirtualHost {
    let mut url = Url::parse(text).unwrap_or_else(|err| panic!("AMQP_URL is not a URL: {err}"));
    let management = Management::beside(&url);
    let user = if url.username().is_empty() { "guest" } else { url.username() };
    let user = percent_encoding::percent_decode_str(user).decode_utf8_lossy().into_owned();
    management.add_vhost(&name, &user);
    url.set_path(&name);
    VirtualHost { url: url.into(), name, home: Home::Foreign(management) }
}

impl VirtualHost {
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for VirtualHost {
    fn drop(&mut self) {
        let Home::Foreign(management) = &self.home else { return };
        if let Err(reason) = management.delete_vhost(&self.name) {
            // Not a panic: during one it would abort the whole run.
            eprintln!("the virtual host `{}` is left on the broker: {reason}", self.name);
        }
    }
}
