//! A started program and its pipes: fed and read by the thread that waits for it, ended with its whole group, never left a zombie.

use super::stderr::Stderr;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};

/// What one look at a pipe takes out of it.
const CHUNK_BYTES: usize = 8 * 1024;

/// What stands on standard error is read up to here at once: more than a pipe holds, less than a flood.
const LEFT_BYTES: usize = 1024 * 1024;

/// No program is left unseen for longer, however long it has run: it may end while another holds its pipes open.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A pause below what `poll` can count.
const SHORTEST_PAUSE: Duration = Duration::from_micros(50);

/// How long a killed program may take to be gone: the kernel may have to finish something for it.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// A program in a process group of its own.
pub(super) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    errors: Option<ChildStderr>,
    /// What it wrote on standard output and nobody has taken yet.
    pub written: Vec<u8>,
    pub stderr: Stderr,
    /// Where both are read to first.
    chunk: Box<[u8]>,
    /// Once it is there, the process id may be somebody else's.
    status: Option<ExitStatus>,
}

impl Process {
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.process_group(0).spawn()?;
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let stderr = Stderr::of(command.get_program().to_string_lossy().into_owned());
        let (written, chunk) = (Vec::new(), vec![0; CHUNK_BYTES].into());
        let process = Process { child, input, output, errors, written, stderr, chunk, status: None };
        process.input.as_ref().map_or(Ok(()), never_block)?;
        process.output.as_ref().map_or(Ok(()), never_block)?;
        process.errors.as_ref().map_or(Ok(()), never_block)?;
        Ok(process)
    }

    /// Waits until a pipe is ready, for the pause at the most; then writes of `rest` what fits, and reads what is there. Says whether any
    /// was ready.
    pub fn turn(&mut self, rest: &mut &[u8], pause: Duration) -> io::Result<bool> {
        let (input, output, errors) = (&self.input, &self.output, &self.errors);
        let input = input.as_ref().filter(|_| !rest.is_empty()).map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        let output = output.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        let errors = errors.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        let places = [input.is_some(), output.is_some(), errors.is_some()];
        let mut pipes: Vec<PollFd> = [input, output, errors].into_iter().flatten().collect();
        if pipes.is_empty() {
            std::thread::park_timeout(pause);
            return Ok(false);
        }
        match poll(&mut pipes, milliseconds(pause)) {
            Ok(0) | Err(Errno::EINTR) => return Ok(false),
            Ok(_) => {}
            Err(err) => return Err(err.into()),
        }
        let mut ready = pipes.iter().map(|pipe| pipe.any().unwrap_or(true)).collect::<Vec<_>>().into_iter();
        let [may_write, may_read, may_read_errors] = places.map(|is_there| is_there && ready.next().unwrap_or(false));
        if may_write {
            self.write(rest);
        }
        if may_read {
            self.read_output();
        }
        if may_read_errors {
            self.read_errors();
        }
        Ok(true)
    }

    /// Writes what fits. A program that does not read has its reasons: its exit code tells.
    pub fn write(&mut self, rest: &mut &[u8]) {
        let Some(input) = &mut self.input else { return };
        match input.write(rest) {
            Ok(length) => *rest = &rest[length..],
            Err(err) if is_for_later(&err) => {}
            Err(_) => self.close_input(),
        }
    }

    pub fn close_input(&mut self) {
        self.input = None;
    }

    pub fn takes_input(&self) -> bool {
        self.input.is_some()
    }

    pub fn gives_output(&self) -> bool {
        self.output.is_some()
    }

    /// Whether it has closed all that it could write to, as a program does that ends.
    pub fn is_silent(&self) -> bool {
        self.output.is_none() && self.errors.is_none()
    }

    /// Reads what is there now, a chunk at the most; says how much that was.
    pub fn read_output(&mut self) -> usize {
        let length = read(&mut self.output, &mut self.chunk);
        self.written.extend_from_slice(&self.chunk[..length]);
        length
    }

    fn read_errors(&mut self) -> usize {
        let length = read(&mut self.errors, &mut self.chunk);
        self.stderr.take(&self.chunk[..length]);
        length
    }

    /// Its exit status if it has ended.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                self.read_all_errors();
                self.stderr.finish();
            }
        }
        Ok(self.status)
    }

    /// Reads what stands on standard error by now.
    pub fn read_all_errors(&mut self) {
        let mut bytes = 0;
        while bytes < LEFT_BYTES {
            match self.read_errors() {
                0 => break,
                more => bytes += more,
            }
        }
    }

    /// Ends the whole group: asks it first, and answers when the program has ended and nobody holds its standard error any more, or
    /// else kills all that is left when the time is up.
    pub fn end(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        self.close_input();
        self.signal(Signal::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < grace && !(self.is_silent() && self.has_ended()) {
            let pause = pause_after(asked).min(grace.saturating_sub(asked.elapsed()));
            self.turn(&mut &[][..], pause)?;
            self.written.clear();
        }
        self.kill()
    }

    /// Kills the whole group, and waits until the program is gone.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGKILL);
        let killed = Instant::now();
        while killed.elapsed() < GONE_WITHIN {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            std::thread::park_timeout(pause_after(killed));
        }
        Err(io::Error::new(ErrorKind::TimedOut, format!("process {} does not end by SIGKILL", self.child.id())))
    }

    /// Asks the whole group to end.
    pub fn ask_to_end(&self) {
        self.signal(Signal::SIGTERM);
    }

    fn signal(&self, signal: Signal) {
        // Before it has been waited for, its id cannot be another's, not even as the id of a group.
        if self.status.is_some() {
            return;
        }
        if let Ok(group) = i32::try_from(self.child.id()) {
            // Fails if all of it is gone, which is what is wanted.
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }

    /// Whether it has ended; it keeps its id, so that its group can still be killed.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn has_ended(&mut self) -> bool {
        use nix::sys::wait::{waitid, Id, WaitPidFlag, WaitStatus};
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let Ok(id) = i32::try_from(self.child.id()) else { return true };
        !matches!(waitid(Id::Pid(Pid::from_raw(id)), flags), Ok(WaitStatus::StillAlive))
    }

    /// Whether it has ended; where one cannot look without taking its id, its group counts as gone with its pipes.
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn has_ended(&mut self) -> bool {
        !matches!(self.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            if let Err(err) = self.kill() {
                log::error!("a program may be left running: {err}");
            }
        }
    }
}

/// How long to wait for a sign of life before the next look, when this has gone on since then.
pub(super) fn pause_after(since: Instant) -> Duration {
    (since.elapsed() / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

fn never_block(pipe: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(pipe, FcntlArg::F_GETFL)?);
    fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Rounded up, because a pause of nothing would keep a processor busy.
fn milliseconds(pause: Duration) -> PollTimeout {
    let rounded = pause.saturating_add(Duration::from_micros(999)).as_millis();
    PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
}

fn is_for_later(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Reads what is there; a pipe that has ended is closed.
fn read(pipe: &mut Option<impl Read>, chunk: &mut [u8]) -> usize {
    match pipe.as_mut().map(|pipe| pipe.read(chunk)) {
        None => 0,
        Some(Ok(length)) if length > 0 => length,
        Some(Err(err)) if is_for_later(&err) => 0,
        Some(_) => {
            *pipe = None;
            0
        }
    }
}
