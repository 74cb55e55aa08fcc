//! Contenders in other languages: where they are, and what is missing on this machine if they are not.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A C program of this suite, compiled.
///
/// # Errors
///
/// What is missing, and how to get it.
pub fn compiled(source: &str) -> Result<PathBuf, String> {
    let program = target_folder().join(source.trim_end_matches(".c"));
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-O2", "-std=gnu11", "-Wall", "-Wextra", "-o"]).arg(&program).arg(own_folder().join("c").join(source));
    let output = compiler.args(["-lrabbitmq", "-lcjson"]).output().map_err(|err| format!("no C compiler: {err}"))?;
    if output.status.success() {
        return Ok(program);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let line = complaint.lines().find(|line| line.contains("error") || line.contains("cannot find")).unwrap_or_default();
    Err(format!("its program could not be compiled ({line}); on Debian: apt-get install gcc librabbitmq-dev libcjson-dev"))
}

/// A Python that can import this module: `BENCH_PYTHON`, or one of those that are usually there.
///
/// # Errors
///
/// What is missing, and how to get it.
pub fn python_with(module: &str) -> Result<PathBuf, String> {
    let chosen = env::var_os("BENCH_PYTHON").map(PathBuf::from);
    let candidates = chosen.into_iter().chain(["python3", "/usr/bin/python3"].map(PathBuf::from));
    let import = format!("import {module}");
    let can_import = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", &import]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    candidates.into_iter().find(can_import).ok_or_else(|| {
        format!(
            "no Python here has `{module}`; on Debian: apt-get install python3-{module}, or BENCH_PYTHON=… names one that has"
        )
    })
}

/// A Python program of this suite.
pub fn script(name: &str) -> PathBuf {
    own_folder().join("python").join(name)
}

/// Where the suite leaves what it makes: `target/peers`.
pub fn target_folder() -> PathBuf {
    // This program is in `target/release/deps`.
    let program = env::current_exe().expect("a running program has a path");
    let target = program.ancestors().nth(3).expect("cargo's folders are that deep").join("peers");
    std::fs::create_dir_all(&target).expect("the target folder can be written");
    target
}

fn own_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
