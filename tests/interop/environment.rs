//! The real packages, in virtual environments that last as long as the run: one for each family, because they want different pikas.

use crate::cases::Case;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

/// A family of packages that live in one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Celery,
    Dispatcher,
    Fedora,
}

impl Family {
    /// The file that pins all of its packages.
    fn requirements(self) -> PathBuf {
        programs().join(match self {
            Family::Celery => "celery.txt",
            Family::Dispatcher => "dispatcher.txt",
            Family::Fedora => "fedora.txt",
        })
    }

    fn of(package: &str) -> Family {
        match package {
            "amqp-dispatcher" => Family::Dispatcher,
            "fedora-messaging" => Family::Fedora,
            _ => Family::Celery,
        }
    }
}

/// Where the Python programs of this suite are.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// One virtual environment.
pub struct Environment {
    folder: PathBuf,
    /// Versions by the names of packages, in lower case.
    versions: BTreeMap<String, String>,
}

impl Environment {
    /// A program that the environment has.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The package and its version; of what runs in Celery, Celery's as well.
    pub fn version_of(&self, package: &str) -> String {
        let version = |name: &str| self.versions.get(&name.replace('-', "_")).map_or("?", String::as_str);
        match package {
            "celery-message-consumer" | "celery-amqp-events" => {
                format!("{package} {} on celery {}", version(package), version("celery"))
            }
            other => format!("{other} {}", version(other)),
        }
    }
}

/// All environments that the cases need.
pub struct Environments {
    python: String,
    of: BTreeMap<Family, Environment>,
}

impl Environments {
    /// This installs what the cases need below `folder`.
    ///
    /// # Errors
    /// When Python or a part of it is missing, or the packages cannot be installed; with what to do about it.
    pub fn install(cases: &[Case], folder: &Path) -> Result<Environments, String> {
        let python = python_version()?;
        let mut families: Vec<Family> = cases.iter().map(|case| Family::of(case.package)).collect();
        families.sort();
        families.dedup();
        println!("installing the Python packages for {} families of cases", families.len());
        let installing = families.into_iter().map(|family| {
            let folder = folder.join(format!("{family:?}").to_lowercase());
            (family, thread::spawn(move || installed(family, folder)))
        });
        let mut of = BTreeMap::new();
        for (family, thread) in installing.collect::<Vec<_>>() {
            of.insert(family, thread.join().expect("installing does not panic")?);
        }
        Ok(Environments { python, of })
    }

    pub fn of(&self, package: &str) -> &Environment {
        &self.of[&Family::of(package)]
    }

    pub fn described(&self) -> String {
        format!("{}, in throwaway environments", self.python)
    }
}

fn python_version() -> Result<String, String> {
    const ADVICE: &str = "install Python 3 with venv and pip (on Debian or Ubuntu: apt-get install python3-venv python3-pip)";
    let missing = |what: String| format!("this suite runs Python programs, and {what}: {ADVICE}");
    let output =
        Command::new("python3").arg("--version").output().map_err(|err| missing(format!("`python3` does not start: {err}")))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    for module in ["venv", "ensurepip"] {
        let found = Command::new("python3").args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(missing(format!("{version} is without its module `{module}`")));
        }
    }
    Ok(version)
}

fn installed(family: Family, folder: PathBuf) -> Result<Environment, String> {
    done(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let environment = Environment { folder, versions: BTreeMap::new() };
    let pip = environment.program("pip");
    let install = ["install", "--quiet", "--disable-pip-version-check", "--no-input", "--requirement"];
    done(Command::new(&pip).args(install).arg(family.requirements()))?;
    let frozen = done(Command::new(&pip).args(["freeze", "--disable-pip-version-check"]))?;
    let frozen = String::from_utf8_lossy(&frozen.stdout).to_lowercase().replace('-', "_");
    let versions = frozen.lines().filter_map(|line| line.split_once("=="));
    let versions = versions.map(|(name, version)| (name.to_owned(), version.to_owned())).collect();
    Ok(Environment { versions, ..environment })
}

fn done(command: &mut Command) -> Result<Output, String> {
    let told = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(|err| format!("{told} does not start: {err}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!(
            "{told} failed; without the Python package index (https://pypi.org, or what pip is configured to use) this suite cannot \
             run:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
