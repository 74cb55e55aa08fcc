//! A shell that outlives the test process for a moment and ends what it left behind: a node must go even after `kill -9` of the tests,
//! when no destructor runs.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

// Its input closes when the test process ends, however it ends: that is the signal. The wait is bounded, because a process that nobody
// has reaped yet still counts as there.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=
while read -r group; do groups="$groups $group"; done
for group in $groups; do
    kill -s KILL -- "-$group"
    tries=0
    while kill -s 0 -- "-$group" && [ $tries -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
done
rm -rf -- "$1"
"#;

/// The shell that kills the process groups named to it and removes the folder, once this value or the whole process is gone.
#[derive(Debug)]
pub struct Reaper {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Reaper {
    /// A reaper for what will live in `folder`.
    pub fn of(folder: &Path) -> Reaper {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of the terminal's group, or Ctrl-C would end the reaper together with the tests.
            .process_group(0)
            .spawn()
            .expect("`sh` starts");
        let input = shell.stdin.take();
        Reaper { shell, input }
    }

    /// This adds a process group to what is killed.
    pub fn add(&mut self, group: u32) {
        let input = self.input.as_mut().expect("nothing is added after the end");
        writeln!(input, "{group}").expect("the reaper reads until its input closes");
    }

    /// This has everything ended now, and waits until it is.
    pub fn finish(&mut self) {
        self.input = None;
        let _ = self.shell.wait();
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.finish();
    }
}
