//! A worker as a child process: started, killed, told to end, waited for; and the proxy it connects through.

use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::support::wait::holds_within;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Which executable is the suite: the tests' own is another.
pub fn program_is(path: impl Into<PathBuf>) {
    PROGRAM.get_or_init(|| path.into());
}

/// How a worker gets to the broker.
pub enum Route {
    Proxied(Proxy),
    /// By a URL of its own, such as one of several hosts.
    Direct(String),
}

/// One worker of a run, through all its processes.
pub struct Seat {
    pub name: String,
    pub route: Route,
    settings: Settings,
    folder: PathBuf,
    child: Option<Child>,
    started: u32,
}

impl Seat {
    /// A worker that connects to this broker by way of a proxy of its own.
    pub fn proxied(name: String, settings: &Settings, folder: &Path, broker: SocketAddr, login: &str) -> Seat {
        let proxy = Proxy::to(broker);
        let url = format!("amqp://{login}@127.0.0.1:{}/%2f?heartbeat=2&connection_timeout=3000", proxy.port());
        let settings = Settings { url, ..settings.clone() };
        Seat { name, route: Route::Proxied(proxy), settings, folder: folder.to_owned(), child: None, started: 0 }
    }

    pub fn direct(name: String, settings: &Settings, folder: &Path, url: &str) -> Seat {
        let settings = Settings { url: url.to_owned(), ..settings.clone() };
        Seat { name, route: Route::Direct(url.into()), settings, folder: folder.to_owned(), child: None, started: 0 }
    }

    pub fn proxy(&self) -> &Proxy {
        match &self.route {
            Route::Proxied(proxy) => proxy,
            Route::Direct(_) => panic!("{} has no proxy", self.name),
        }
    }

    /// Other settings for the processes to come.
    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
    }

    pub fn start(&mut self) {
        assert!(!self.is_running(), "{} runs already", self.name);
        self.started += 1;
        let file = |what: &str| self.folder.join(format!("{what}-{}-{}", self.name, self.started));
        let settings = Settings { evidence: file("evidence"), ..self.settings.clone() };
        let log = File::create(file("log")).expect("the run's folder can be written");
        let child = Command::new(PROGRAM.get().expect("the suite has said which program it is"))
            .arg("worker")
            .arg(serde_json::to_string(&settings).expect("settings are JSON"))
            .env("RUST_LOG", std::env::var("BOOTSTEP_FAULTS_LOG").unwrap_or_else(|_| "info".into()))
            // Threads that panic on purpose should not spend their time on it.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the suite's own program starts");
        self.child = Some(child);
    }

    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child can be asked").is_none())
    }

    /// `kill -9`, and the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM.
    pub fn terminate(&mut self) {
        if self.is_running() {
            signal("TERM", self.process_id().expect("it runs"));
        }
    }

    /// The exit code, if it ended in time; -1 stands for a signal.
    pub fn wait(&mut self, within: Duration) -> Option<i32> {
        let child = self.child.as_mut()?;
        let mut status = None;
        holds_within(within, || {
            status = child.try_wait().expect("a child can be asked");
            status.is_some()
        });
        self.child.take_if(|_| status.is_some());
        Some(status?.code().unwrap_or(-1))
    }

    /// SIGTERM and the end: how long it took and the exit code; killed and told of if it did not end in time.
    pub fn stop(&mut self, within: Duration) -> Result<(Duration, i32), String> {
        let began = Instant::now();
        self.terminate();
        match self.wait(within) {
            Some(code) => Ok((began.elapsed(), code)),
            None if self.child.is_none() => Ok((Duration::ZERO, 0)),
            None => {
                self.kill();
                Err(format!("{} had not ended {within:?} after SIGTERM", self.name))
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.kill();
    }
}

/// This sends a signal to a process of ours.
pub fn signal(name: &str, id: u32) {
    let status = Command::new("kill").args(["-s", name, &id.to_string()]).stderr(Stdio::null()).status();
    status.expect("`kill` starts");
}
