//! A run's surroundings: queues, workers behind their proxies, what was published, and the way from there to a verdict.

use crate::evidence;
use crate::injury::{Injected, Injury};
use crate::judge::{judge, Findings, Verdict};
use crate::letters::{self, Letter};
use crate::process::Seat;
use crate::publisher::Published;
use crate::settings::Settings;
use crate::support::node::Node;
use crate::support::wait::holds_within;
use crate::support::{now_ms, pass};
use bootstep::{Broker, Connection, Queue};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Everything around a run but the node.
pub struct Field {
    pub settings: Settings,
    pub seats: Vec<Seat>,
    pub published: Published,
    pub injected: Vec<Injected>,
    /// Whatever was not as it should be, beside the messages themselves.
    pub complaints: Vec<String>,
    /// What is worth printing although it is as it should be.
    pub measured: Vec<String>,
    /// When a link is to be healed, and whose.
    pub heals: Vec<(Instant, usize)>,
    /// When the broker answered again after it had been killed, in milliseconds.
    pub restarts: Vec<u64>,
    /// See [`Findings::hops`].
    pub hops: Vec<(u64, u64)>,
    /// Read before the end: a full archive that was emptied.
    pub archived: Vec<Letter>,
    /// Which RabbitMQ it is, such as `3.10.8`.
    pub version: String,
    pub began: Instant,
    url: String,
    folder: TempDir,
}

/// Whom workers log in as: not whom publishers are, so that a user id that is not taken off a moved message is refused.
pub const WORKER: &str = "worker:worker";

const PATIENCE: Duration = Duration::from_secs(20);

impl Field {
    /// Declares what a run needs, and sets up so many workers behind proxies; none is started.
    pub fn new(node: &Node, settings: Settings, workers: usize) -> Field {
        let broker = ([127, 0, 0, 1], node.amqp_port()).into();
        Field::with(node, settings, workers, &node.url(), |name, settings, folder| {
            Seat::proxied(name, settings, folder, broker, WORKER)
        })
    }

    /// The same with workers that connect by this URL, and the suite too.
    pub fn direct(node: &Node, settings: Settings, workers: usize, hosts: &str) -> Field {
        let own = format!("amqp://guest:guest@{hosts}/%2f");
        let url = format!("amqp://{WORKER}@{hosts}/%2f?heartbeat=2&connection_timeout=3000");
        Field::with(node, settings, workers, &own, |name, settings, folder| Seat::direct(name, settings, folder, &url))
    }

    fn with(
        node: &Node,
        settings: Settings,
        workers: usize,
        url: &str,
        seat: impl Fn(String, &Settings, &Path) -> Seat,
    ) -> Field {
        add_worker_user(node);
        let folder = TempDir::with_prefix("bootstep-faults-").expect("the temporary folder can be written");
        let seats = (1..=workers).map(|place| seat(format!("worker-{place}"), &settings, folder.path())).collect();
        let mut field = Field {
            seats,
            published: Published::default(),
            injected: Vec::new(),
            complaints: Vec::new(),
            measured: Vec::new(),
            heals: Vec::new(),
            restarts: Vec::new(),
            hops: Vec::new(),
            archived: Vec::new(),
            version: String::new(),
            began: Instant::now(),
            url: url.to_owned(),
            folder,
            settings,
        };
        let connection = field.connect();
        field.version = connection.server().trim_start_matches("RabbitMQ ").to_owned();
        field.declare(&connection);
        field
    }

    fn declare(&self, connection: &Connection) {
        let with_type = |name: String| {
            let queue = Queue::new(name);
            if self.settings.kind == crate::settings::Kind::Quorum {
                queue.quorum()
            } else {
                queue.classic()
            }
        };
        if let Some((exchange, dead)) = self.settings.dead_letters_of_broker() {
            connection.declare_exchange(&exchange).expect("the exchange for dead letters can be declared");
            connection.declare_queue(&dead).expect("the queue for dead letters can be declared");
        }
        let queues = [self.settings.main_queue(), with_type(self.settings.copies()), with_type(self.settings.published())];
        for queue in queues {
            connection.declare_queue(&queue).unwrap_or_else(|err| panic!("{err}"));
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder with evidence and logs, for whoever looks for what went wrong.
    pub fn keep_folder(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// A connection of the suite's own, past all proxies.
    pub fn connect(&self) -> Connection {
        let broker = Broker::amqp(&self.url).expect("the suite writes good URLs");
        let mut last = None;
        let connected = holds_within(PATIENCE, || {
            last = Some(broker.connect("faults"));
            matches!(last, Some(Ok(_)))
        });
        assert!(connected, "the suite cannot connect: {last:?}");
        last.expect("it was tried").expect("it was connected")
    }

    pub fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    pub fn note(&mut self, kind: Injury, begin_ms: u64) {
        self.injected.push(Injected { kind, begin_ms, end_ms: now_ms() });
    }

    pub fn start_all(&mut self) {
        self.seats.iter_mut().for_each(Seat::start);
    }

    /// Before the broker is killed for the first time. RabbitMQ forgets the term of a quorum queue that was declared moments before
    /// it is killed: on 3.10 that queue is a follower of nobody afterwards, and answers no request. No worker can do anything
    /// about that, and it is not what is asked here.
    pub fn settle_in(&self) {
        if self.settings.kind == crate::settings::Kind::Quorum {
            pass(Duration::from_secs(2));
        }
    }

    /// Starts those that were ended, and tells of those that ended by themselves.
    pub fn start_missing(&mut self) {
        for seat in &mut self.seats {
            if !seat.is_running() {
                if let Some(code) = seat.wait(Duration::ZERO) {
                    self.complaints.push(format!("{} ended by itself with code {code}", seat.name));
                }
                seat.start();
            }
        }
    }

    /// Heals what is due by now.
    pub fn heal_due(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.heals).into_iter().partition(|(at, _)| *at <= now);
        self.heals = later;
        let due: Vec<(Instant, usize)> = due;
        due.iter().for_each(|(_, seat)| self.seats[*seat].proxy().heal());
    }

    pub fn heal_all(&mut self) {
        self.heals.clear();
        self.seats.iter().for_each(|seat| {
            if let crate::process::Route::Proxied(proxy) = &seat.route {
                proxy.heal();
            }
        });
    }

    pub fn publish(&mut self, messages: u64) {
        let url = self.url.clone();
        let outcome = self.published.publish(&url, &self.settings, messages, Duration::ZERO);
        outcome.unwrap_or_else(|what| self.complain(what));
    }

    /// Messages on a queue that no consumer has; none where there is no queue.
    pub fn ready(&self, connection: &Connection, queue: &str) -> u64 {
        connection.declare_queue(&Queue::existing(queue)).map_or(0, |status| status.messages.into())
    }

    /// Messages of the main queue and all retry queues, those with a consumer included.
    pub fn held(&self, node: &Node) -> u64 {
        let names: Vec<String> = self.passages().iter().map(|name| format!("<<\"{name}\">>")).collect();
        // `list_queues` would do for classic queues; of quorum queues it tells what was so some seconds ago.
        let sum = r#"lists:sum([
            case rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, Name)) of
                {ok, Queue} ->
                    case amqqueue:get_type(Queue) of
                        rabbit_quorum_queue ->
                            Ask = fun(Total) -> ra:leader_query(amqqueue:get_pid(Queue), Total) end,
                            % A function up to 4.2, its name from 4.3 on.
                            {ok, {_, Held}, _} = try Ask(fun rabbit_fifo:query_messages_total/1)
                                catch error:function_clause -> Ask({rabbit_fifo, query_messages_total, []}) end,
                            Held;
                        _ -> [{messages, Held}] = rabbit_amqqueue:info(Queue, [messages]), Held
                    end;
                _ -> 0
            end || Name <- [NAMES]])."#;
        let printed = node.ctl(&["eval", &sum.replace("NAMES", &names.join(","))]);
        printed.trim().parse().unwrap_or_else(|_| panic!("the broker counts `{printed}` messages"))
    }

    /// The queues that nothing may be left on.
    fn passages(&self) -> Vec<String> {
        let mut queues = self.settings.retry_queues();
        queues.push(self.settings.queue.clone());
        queues
    }

    /// Whether any worker has logged this.
    pub fn logs_say(&self, words: &str) -> bool {
        let files = fs::read_dir(self.folder.path()).expect("the run's folder can be read").flatten();
        let logs = files.filter(|file| file.file_name().to_string_lossy().starts_with("log-"));
        let mut texts = logs.map(|log| fs::read(log.path()).expect("a log can be read"));
        texts.any(|text| String::from_utf8_lossy(&text).contains(words))
    }

    pub fn entries(&self) -> Vec<evidence::Entry> {
        evidence::read_all(self.folder.path(), "evidence-")
    }

    /// Lets the workers work until nothing waits and nothing is unsettled; whether they were done in time.
    pub fn drain(&mut self, node: &Node, within: Duration) -> bool {
        self.heal_all();
        self.start_missing();
        let connection = self.connect();
        let queues = self.passages();
        let due = Instant::now() + within;
        let is_empty = |field: &Field| queues.iter().all(|queue| field.ready(&connection, queue) == 0);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if !holds_within(left, || is_empty(self)) {
                return false;
            }
            if self.held(node) == 0 {
                return true;
            }
        }
    }

    /// SIGTERM for all: each has nothing to do, so it must be gone soon.
    pub fn stop_all(&mut self) {
        let mut complaints = Vec::new();
        self.seats.iter_mut().for_each(Seat::terminate);
        for seat in &mut self.seats {
            match seat.wait(Duration::from_secs(5)) {
                Some(0) => {}
                Some(code) => complaints.push(format!("{} ended with code {code}, and nothing was to be done", seat.name)),
                None => complaints.push(format!("{} did not end, and nothing was to be done", seat.name)),
            }
            seat.kill();
        }
        self.complaints.extend(complaints);
    }

    /// The whole end of a run: drain, stop, read everything, judge.
    pub fn conclude(&mut self, node: &Node, within: Duration) -> Verdict {
        if !self.drain(node, within) {
            self.complain(format!("not drained within {within:?}"));
        }
        self.stop_all();
        let mut findings = self.find();
        findings.unread = self.held(node) > 0;
        let verdict = judge(&self.settings, &self.published, &self.injected, &findings);
        self.delete_queues();
        verdict
    }

    fn find(&mut self) -> Findings {
        let connection = self.connect();
        let settings = &self.settings;
        let mut archive = letters::take_all(&connection, &settings.archive(), |message| letters::kept(settings, message));
        archive.append(&mut self.archived);
        let left = self.passages().into_iter().flat_map(|queue| {
            let letters = letters::take_all(&connection, &queue, letters::numbered);
            letters.into_iter().map(move |letter| (queue.clone(), letter.number))
        });
        Findings {
            entries: self.entries(),
            archive,
            dead: letters::take_all(&connection, &settings.dead(), |message| letters::dead(settings, message)),
            copies: letters::take_all(&connection, &settings.copies(), letters::numbered),
            published: letters::take_all(&connection, &settings.published(), letters::published),
            left: left.collect(),
            hops: self.hops.clone(),
            unread: false,
        }
    }

    fn delete_queues(&self) {
        let connection = self.connect();
        let settings = &self.settings;
        let around = [settings.archive(), settings.dead(), settings.copies(), settings.published()];
        for queue in self.passages().into_iter().chain(around) {
            // One that is not there need not be deleted.
            let _ = connection.delete_queue(&queue);
        }
    }
}

fn add_worker_user(node: &Node) {
    // Each start of `rabbitmqctl` costs most of a second, and a node that is restarted keeps its users.
    static HAVE_IT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if !HAVE_IT.lock().unwrap_or_else(PoisonError::into_inner).insert(node.name().to_owned()) {
        return;
    }
    let everything = r#"<<".*">>, <<".*">>, <<".*">>"#;
    let (user, password) = WORKER.split_once(':').expect("a login has both");
    let add = format!(
        r#"ok = rabbit_auth_backend_internal:add_user(<<"{user}">>, <<"{password}">>, <<"faults">>),
           rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"/">>, {everything}, <<"faults">>)."#
    );
    assert_eq!(node.ctl(&["eval", &add]).trim(), "ok", "the workers' user could not be added");
}
