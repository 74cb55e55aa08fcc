//! A RabbitMQ node of the test's own: free ports, a temporary folder, its own `epmd`; it can be killed, frozen and brought back.

use super::installation::Installation;
use super::ports::Ports;
use super::reaper::Reaper;
use super::wait::holds_within;
use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(60);

// One thread for Erlang code: a node in the tests must leave the processor to the tests.
const LIGHT: &str = "+S 1:1 +SDcpu 1:1 +A 1";

// A port can be taken between finding it free and using it.
const START_ATTEMPTS: usize = 3;

/// Nodes that know the same one trust each other.
const COOKIE: &str = ".erlang.cookie";

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A private RabbitMQ, gone with all its processes and files when dropped or when the test process ends.
#[derive(Debug)]
pub struct Node {
    installation: Installation,
    name: String,
    ports: Ports,
    setup: Setup,
    epmd: Child,
    server: Child,
    reaper: Reaper,
    folder: TempDir,
}

/// What a node is set up with beside what every node has.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Lines for `rabbitmq.conf`; `{folder}` stands for the node's folder, `{tls-port}` for a port that nobody else has.
    pub config: String,
    pub plugins: &'static [&'static str],
    /// Files for the node's folder, with their contents.
    pub files: Vec<(&'static str, String)>,
}

/// The one private node of this test process, for cases that do not break it. It starts when first asked for.
pub fn shared_node() -> &'static Node {
    static SHARED: OnceLock<Node> = OnceLock::new();
    SHARED.get_or_init(Node::start)
}

impl Node {
    /// A node that answers AMQP.
    ///
    /// # Panics
    ///
    /// With what to do about it, if RabbitMQ is not installed or does not start.
    pub fn start() -> Node {
        Node::start_with(&Setup::default())
    }

    /// A node that answers AMQP, with something more.
    pub fn start_with(setup: &Setup) -> Node {
        let mut log = String::new();
        for _ in 0..START_ATTEMPTS {
            let mut node = Node::launch(setup, None);
            if node.is_ready_within(READY_WITHIN) {
                return node;
            }
            log = node.said();
        }
        panic!("RabbitMQ did not start in {START_ATTEMPTS} attempts; the last one said:\n{log}");
    }

    /// A node that joins the cluster of another, which must outlive it: they find each other by the other's `epmd`.
    #[allow(dead_code)] // only the fault suite asks
    pub fn start_beside(other: &Node, setup: &Setup) -> Node {
        let config = format!(
            "{}\ncluster_formation.peer_discovery_backend = classic_config\ncluster_formation.classic_config.nodes.1 = {}\n",
            setup.config, other.name
        );
        let mut node = Node::launch(&Setup { config, ..setup.clone() }, Some(other));
        assert!(node.is_ready_within(READY_WITHIN), "RabbitMQ did not join:\n{}", node.said());
        node
    }

    /// What Erlang calls it.
    #[allow(dead_code)] // only the fault suite asks
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node's URL, with its default virtual host.
    pub fn url(&self) -> String {
        self.url_of("/")
    }

    /// The URL of a virtual host on this node.
    pub fn url_of(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{}", self.ports.amqp, vhost.replace('/', "%2f"))
    }

    /// The port it serves AMQP on.
    #[allow(dead_code)] // not everybody who has a node asks
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The port of the listener for TLS, if the node is set up with one.
    #[allow(dead_code)] // only the tests in `tests/tls` ask
    pub fn tls_port(&self) -> u16 {
        self.ports.tls
    }

    /// The port that speaks AMQP.
    #[allow(dead_code)] // only the fault suite asks
    pub fn amqp_port(&self) -> u16 {
        self.ports.amqp
    }

    /// This kills the Erlang machine itself with SIGKILL, as a power cut would.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.server.wait().expect("a child can be waited for");
    }

    /// This brings a killed node back, on the same ports and with what its durable queues held.
    pub fn restart(&mut self) {
        assert!(self.server.try_wait().expect("a child can be asked").is_some(), "kill the node before restarting it");
        self.server = self.spawn_server();
        let ready = self.is_ready_within(READY_WITHIN);
        assert!(ready, "RabbitMQ did not come back:\n{}", self.said());
    }

    /// This stops the node from doing anything while its connections stay open, as a hung machine does.
    pub fn freeze(&mut self) {
        self.signal("STOP");
    }

    /// This lets a frozen node go on.
    pub fn thaw(&mut self) {
        self.signal("CONT");
    }

    /// What `rabbitmqctl` prints for `arguments` on this node. It takes about a second.
    #[track_caller]
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let (mut printed, mut complaint, mut has_succeeded) = (String::new(), String::new(), false);
        // A node serves clients a moment before it takes orders; on a busy machine that is seen.
        holds_within(READY_WITHIN, || {
            let mut command = self.command(&self.installation.ctl());
            let output = command.arg("--quiet").args(arguments).output().expect("`rabbitmqctl` starts");
            printed = String::from_utf8_lossy(&output.stdout).into_owned();
            complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            has_succeeded = output.status.success();
            !complaint.contains("requires the 'rabbit' app to be running")
        });
        assert!(has_succeeded, "`rabbitmqctl {}` failed: {printed}{complaint}", arguments.join(" "));
        printed
    }

    /// This says whether the node answers an AMQP handshake.
    pub fn answers(&self) -> bool {
        handshake(self.ports.amqp).unwrap_or(false)
    }

    // Its listeners open one after the other.
    fn listens_for_tls(&self) -> bool {
        let is_wanted = self.setup.config.contains("{tls-port}");
        !is_wanted || TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.tls)).is_ok()
    }

    /// The folder that holds everything the node writes.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    /// The ids of the node's two processes: the Erlang machine and its `epmd`.
    pub fn process_ids(&self) -> [u32; 2] {
        [self.server_id().expect("a node that answers has written its process id"), self.epmd.id()]
    }

    fn said(&self) -> String {
        fs::read_to_string(self.file("output")).unwrap_or_default()
    }

    fn launch(setup: &Setup, beside: Option<&Node>) -> Node {
        let installation = Installation::find();
        let folder = TempDir::with_prefix_in("bootstep-node-", installation.temporary_folder())
            .expect("the temporary folder can be written");
        let mut reaper = Reaper::of(folder.path());
        let mut ports = Ports::free();
        let name = format!("bootstep-{}-{}@localhost", process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let epmd = spawn_epmd(&installation, ports);
        reaper.add(epmd.id());
        if let Some(other) = beside {
            // Its own `epmd` leads its processes all the same, and is asked by nobody.
            ports.epmd = other.ports.epmd;
            fs::copy(other.file(COOKIE), folder.path().join(COOKIE)).expect("a node that answers has made its cookie");
        }
        // Stands in until the server runs, so that from here on a drop cleans up whatever has been started.
        let server = Command::new("true").spawn().expect("`true` starts");
        let mut node = Node { installation, name, ports, setup: setup.clone(), epmd, server, reaper, folder };
        node.write_configuration();
        node.server.wait().expect("a child can be waited for");
        node.server = node.spawn_server();
        node
    }

    fn write_configuration(&self) {
        let folder = self.installation.inside(self.folder.path());
        let more =
            self.setup.config.replace("{folder}", &folder.to_string_lossy()).replace("{tls-port}", &self.ports.tls.to_string());
        let config = format!("listeners.tcp.default = 127.0.0.1:{}\n{more}", self.ports.amqp);
        let plugins = format!("[{}].\n", self.setup.plugins.join(","));
        let own = [("rabbitmq.conf", config.as_str()), ("plugins", &plugins), ("environment", "")];
        let files = self.setup.files.iter().map(|(name, content)| (*name, content.as_str()));
        for (name, content) in own.into_iter().chain(files) {
            fs::write(self.file(name), content).expect("the node's folder can be written");
        }
    }

    fn spawn_server(&self) -> Child {
        // A stale one would make a signal hit whoever has that id now.
        let _ = fs::remove_file(self.file("process-id"));
        let output = File::create(self.file("output")).expect("the node's folder can be written");
        self.command(&self.installation.server())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("an open file can be shared"))
            .stderr(output)
            // With `epmd`, which leads the group: the reaper then needs one number, however often the server is restarted.
            .process_group(self.epmd.id().try_into().expect("process ids are small"))
            .spawn()
            .expect("`rabbitmq-server` starts")
    }

    /// A command that sees this node and nothing of the machine's own RabbitMQ or of the user's settings for it.
    fn command(&self, program: &Path) -> Command {
        let mut command = self.installation.command(program);
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
        // Erlang's cookie is in HOME: one of its own keeps other nodes and this one apart.
        command.env("HOME", self.installation.inside(self.folder.path()));
        for (variable, name) in [
            ("RABBITMQ_CONF_ENV_FILE", "environment"),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "advanced.config"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_PID_FILE", "process-id"),
        ] {
            command.env(variable, self.installation.inside(&self.file(name)));
        }
        command
            // Makes the script become the Erlang machine, so that the machine is our child and gone as soon as we have waited for it.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_NODE_PORT", self.ports.amqp.to_string())
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", format!("{LIGHT} -kernel inet_dist_use_interface {{127,0,0,1}}"))
            .env("RABBITMQ_CTL_ERL_ARGS", LIGHT)
            // Zero is any free port; the default range has room for eleven at a time on the whole machine.
            .env("RABBITMQ_CTL_DIST_PORT_MIN", "0")
            .env("RABBITMQ_CTL_DIST_PORT_MAX", "0");
        command
    }

    fn is_ready_within(&mut self, deadline: Duration) -> bool {
        let mut has_ended = false;
        let answered = holds_within(deadline, || {
            has_ended = self.server.try_wait().expect("a child can be asked").is_some();
            // Its own process id first: a stranger on the port would answer a handshake as well.
            has_ended || (self.server_id().is_some() && self.answers() && self.listens_for_tls())
        });
        answered && !has_ended
    }

    // Written by the Erlang machine itself: where the script does not become it, our child is a shell that stands in front.
    fn server_id(&self) -> Option<u32> {
        fs::read_to_string(self.file("process-id")).ok()?.trim().parse().ok()
    }

    fn signal(&self, signal: &str) {
        let id = self.server_id().expect("a node that answered has written its process id");
        let status = Command::new("kill").args(["-s", signal, &id.to_string()]).status().expect("`kill` starts");
        assert!(status.success(), "SIG{signal} did not reach the node (process {id})");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both here as well as by the reaper: it cannot see them gone until we, their parent, have waited for them.
        let group = format!("-{}", self.epmd.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.server.wait();
        let _ = self.epmd.wait();
        self.reaper.finish();
    }
}

// In the foreground and ours: left to itself, Erlang starts one for the whole machine that never ends.
fn spawn_epmd(installation: &Installation, ports: Ports) -> Child {
    let mut epmd = installation
        .epmd()
        .args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("`epmd` starts");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.epmd));
    // If it ended, its port was taken: the node will not start either, and the next attempt takes other ports.
    holds_within(Duration::from_secs(10), || {
        TcpStream::connect(address).is_ok() || epmd.try_wait().expect("a child can be asked").is_some()
    });
    epmd
}

// A listener is open before the broker behind it serves; the first frame, a method frame, comes only when it does.
fn handshake(port: u16) -> std::io::Result<bool> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"AMQP\0\0\x09\x01")?;
    let mut frame_type = [0];
    stream.read_exact(&mut frame_type)?;
    Ok(frame_type == [1])
}
