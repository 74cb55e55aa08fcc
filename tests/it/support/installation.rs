//! Where RabbitMQ's own scripts are on this machine, and what to do if they are nowhere.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders with the scripts of an installed RabbitMQ, and with the rest of what runs a node.
#[derive(Debug)]
pub struct Installation {
    scripts: PathBuf,
    pub epmd: PathBuf,
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
        let scripts =
            script_folders().into_iter().find(|folder| folder.join("rabbitmq-server").exists()).unwrap_or_else(|| {
                panic!("no RabbitMQ on this machine: run ./test.sh, which installs it where there is apt-get, or set AMQP_URL")
            });
        let epmd =
            search_path().into_iter().map(|folder| folder.join("epmd")).find(|program| program.exists()).unwrap_or_else(|| {
                panic!("no `epmd` on the PATH, though RabbitMQ is in {}: Erlang is missing or incomplete", scripts.display())
            });
        Installation { scripts, epmd }
    }

    pub fn server(&self) -> PathBuf {
        self.scripts.join("rabbitmq-server")
    }

    pub fn ctl(&self) -> PathBuf {
        self.scripts.join("rabbitmqctl")
    }
}

// The packages' own folders first: what they put on the PATH is a wrapper that wants root and becomes the user `rabbitmq`.
fn script_folders() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/lib/rabbitmq/bin")];
    let versions = fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("sbin")));
    folders.extend(search_path());
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"].map(PathBuf::from));
    folders
}

fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).filter(|folder| folder != Path::new("")).collect()
}
