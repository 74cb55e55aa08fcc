//! Where RabbitMQ's own scripts are on this machine, and what to do if they are nowhere.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folders with the scripts of an installed RabbitMQ, and with the rest of what runs a node.
#[derive(Debug)]
pub struct Installation {
    /// Another system's root, in which everything runs by `chroot`: another RabbitMQ than this machine's. Paths are as seen there.
    root: Option<PathBuf>,
    scripts: PathBuf,
    epmd: PathBuf,
}

impl Installation {
    /// What is installed here.
    ///
    /// # Panics
    ///
    /// Where there is none: a test that needs RabbitMQ fails then, it is never skipped.
    pub fn find() -> Installation {
        if env::var("BOOTSTEP_TEST_PRIVATE_NODE").is_ok_and(|value| value == "unavailable") {
            panic!("this test breaks RabbitMQ and needs a node of its own: install RabbitMQ on this machine, Docker's cannot be used");
        }
        let root = env::var_os("BOOTSTEP_RABBITMQ_ROOT").map(PathBuf::from);
        let exists = |program: &Path| outside(root.as_deref(), program).exists();
        let folders = script_folders(root.as_deref());
        let scripts = folders.into_iter().find(|folder| exists(&folder.join("rabbitmq-server"))).unwrap_or_else(|| {
            panic!("no RabbitMQ on this machine: run ./test.sh, which installs it where there is apt-get, or set AMQP_URL")
        });
        let epmd =
            search_path().into_iter().map(|folder| folder.join("epmd")).find(|program| exists(program)).unwrap_or_else(|| {
                panic!("no `epmd` on the PATH, though RabbitMQ is in {}: Erlang is missing or incomplete", scripts.display())
            });
        Installation { root, scripts, epmd }
    }

    /// A command that runs one of these programs.
    pub fn command(&self, program: &Path) -> Command {
        match &self.root {
            None => Command::new(program),
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(program);
                command
            }
        }
    }

    /// Where the files of a node go, if not into the usual temporary folder.
    pub fn temporary_folder(&self) -> PathBuf {
        self.root.as_ref().map_or_else(env::temp_dir, |root| root.join("tmp"))
    }

    /// What these programs call a path.
    pub fn inside(&self, path: &Path) -> PathBuf {
        let within = self.root.as_ref().and_then(|root| path.strip_prefix(root).ok());
        within.map_or_else(|| path.to_owned(), |within| Path::new("/").join(within))
    }

    pub fn epmd(&self) -> Command {
        self.command(&self.epmd)
    }

    pub fn server(&self) -> PathBuf {
        self.scripts.join("rabbitmq-server")
    }

    pub fn ctl(&self) -> PathBuf {
        self.scripts.join("rabbitmqctl")
    }
}

// The packages' own folders first: what they put on the PATH is a wrapper that wants root and becomes the user `rabbitmq`.
fn script_folders(root: Option<&Path>) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/lib/rabbitmq/bin")];
    let library = Path::new("/usr/lib/rabbitmq/lib");
    let versions = fs::read_dir(outside(root, library)).into_iter().flatten().flatten();
    folders.extend(versions.map(|version| library.join(version.file_name()).join("sbin")));
    folders.extend(search_path());
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"].map(PathBuf::from));
    folders
}

// What is called `path` there.
fn outside(root: Option<&Path>, path: &Path) -> PathBuf {
    root.map_or_else(|| path.to_owned(), |root| root.join(path.strip_prefix("/").unwrap_or(path)))
}

fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).filter(|folder| folder != Path::new("")).collect()
}
