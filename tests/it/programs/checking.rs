//! What is wrong with a program is said before the first message wants it, and in the same words when one does.

use super::{handled, message};
use bootstep::handlers::Program;
use bootstep::{Fault, Outcome};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[track_caller]
fn refused(program: Program, why: &str) {
    let err = program.check().expect_err("it cannot be started");
    assert_eq!(err.fault(), Fault::Config);
    assert!(err.to_string().contains(why), "{err}");
    let when_started = handled(&program, &message("x")).expect_err("it cannot be started");
    assert_eq!(when_started, err.to_string());
}

fn file(folder: &Path, name: &str, text: &str, mode: u32) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_program_that_cannot_be_started_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    refused(Program::new([""; 0]), "the command is empty; name the program first");
    refused(Program::new(["no-such-program-anywhere"]), "there is no program `no-such-program-anywhere` in PATH; install it");
    refused(Program::new([in_folder("none")]), "none`; check the path");
    refused(Program::new([in_folder("")]), "is a folder; name the program in it");
    refused(Program::new([file(folder.path(), "plain", "#!/bin/sh\n", 0o644)]), "may not be executed; try `chmod +x ");
    refused(Program::new(["true"]).directory(in_folder("none")), "cannot be used; make it, or name another: No such file");
    refused(Program::new(["true"]).directory(in_folder("plain")), "is a file; name a directory");
    refused(
        Program::new([file(folder.path(), "crlf", "#!/bin/sh\r\nexit 0\r\n", 0o755)]),
        "the interpreter `/bin/sh\\r`, which is not there",
    );
    refused(Program::new(["sh", "-c", "\0"]), "a NUL byte");
    refused(Program::new(["tool"]).environment("PATH", in_folder("none")), "no program `tool` in PATH");
}

#[test]
fn a_program_is_found_where_it_will_be_started() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "tool", "#!/bin/sh\nexit 65\n", 0o755);
    let found = [
        Program::new([folder.path().join("tool")]),
        Program::new(["./tool"]).directory(folder.path()),
        Program::new(["tool"]).environment("PATH", folder.path()),
    ];
    for program in found {
        program.check().unwrap();
        assert_eq!(handled(&program, &message("x")), Ok(Outcome::reject("exit code 65")));
    }
}
