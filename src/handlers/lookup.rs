//! Whether a program can be started, and if not, what is in its way: said before the first message wants it.

use super::program::Settings;
use crate::error::{Error, Fault};
use nix::unistd::{access, AccessFlags};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where a system without `PATH` looks.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// More than any system reads of a first line.
const FIRST_LINE_BYTES: usize = 512;

/// What keeps this program from being started, if anything does.
pub(super) fn check(settings: &Settings) -> Result<(), Error> {
    let program = settings.command.first().filter(|program| !program.is_empty()).ok_or_else(no_command)?;
    let variables = settings.environment.iter().flat_map(|(name, value)| [name, value]);
    if settings.command.iter().chain(variables).any(|text| text.as_bytes().contains(&0)) {
        return Err(refused("a command or its environment has a NUL byte, which no program can be given; take it out"));
    }
    if let Some(directory) = &settings.directory {
        check_directory(directory, settings)?;
    }
    let path = find(program, settings)?;
    check_file(&path)?;
    check_interpreter(&path)
}

/// A program without a name.
pub(super) fn no_command() -> Error {
    refused("the command is empty; name the program first, then its arguments")
}

/// A setting that keeps a program from being started.
pub(super) fn refused(what: impl Into<String>) -> Error {
    Error::new(Fault::Config, what)
}

fn check_directory(directory: &Path, settings: &Settings) -> Result<(), Error> {
    let (shown, program) = (directory.display(), settings.name());
    match fs::metadata(directory) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => Err(refused(format!("the directory `{shown}` of `{program}` is a file; name a directory"))),
        Err(err) => {
            Err(refused(format!("the directory `{shown}` of `{program}` cannot be used; make it, or name another"))
                .because(err))
        }
    }
}

fn find(program: &OsStr, settings: &Settings) -> Result<PathBuf, Error> {
    if program.as_bytes().contains(&b'/') {
        return Ok(settings.directory.as_deref().unwrap_or(Path::new("")).join(program));
    }
    let given = settings.environment.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let folders = given.or_else(|| std::env::var_os("PATH")).unwrap_or_else(|| OsString::from(DEFAULT_PATH));
    let paths: Vec<PathBuf> = std::env::split_paths(&folders).map(|folder| folder.join(program)).collect();
    let found = paths.iter().find(|path| check_file(path).is_ok()).or_else(|| paths.iter().find(|path| path.is_file()));
    found.cloned().ok_or_else(|| {
        let name = program.to_string_lossy();
        refused(format!("there is no program `{name}` in PATH; install it, or name it by its path, such as `./{name}`"))
    })
}

fn check_file(path: &Path) -> Result<(), Error> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(refused(format!("`{shown}` is a folder; name the program in it"))),
        Ok(_) if access(path, AccessFlags::X_OK).is_ok() => Ok(()),
        Ok(_) => Err(refused(format!("`{shown}` may not be executed; try `chmod +x {shown}`"))),
        Err(err) if err.kind() == ErrorKind::NotFound => {
            Err(refused(format!("there is no program `{shown}`; check the path, and the directory that it starts from")))
        }
        Err(err) => Err(refused(format!("the program `{shown}` cannot be looked at")).because(err)),
    }
}

/// The system says "no such file" for a script whose interpreter is missing, which sends people after the wrong file.
fn check_interpreter(path: &Path) -> Result<(), Error> {
    let Some(interpreter) = interpreter(path) else { return Ok(()) };
    if interpreter.is_absolute() && !interpreter.exists() {
        let (shown, interpreter) = (path.display(), interpreter.display().to_string());
        let interpreter = interpreter.escape_debug();
        return Err(refused(format!(
            "`{shown}` wants the interpreter `{interpreter}`, which is not there; mend its first line"
        )));
    }
    Ok(())
}

fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut first = [0; FIRST_LINE_BYTES];
    // A program that can be executed but not read is a good one.
    let length = File::open(path).and_then(|mut file| file.read(&mut first)).ok()?;
    let line = first[..length].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line.split(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(word)))
}
