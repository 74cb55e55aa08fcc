//! The rules of this repository that a machine can check, so that reviews need not.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules of `src/` and the `steps` folder, lowest layer first. An import goes down or stays on its row; it never goes up.
const LAYERS: &[&[&str]] = &[
    &[
        "error",
        "message",
        "outcome",
        "retry",
        "topology",
        "clock",
        "duration",
        "ledger",
        "limits",
        "kill_switch",
        "remedy",
        "told",
        "shutdown",
        "logging",
        "tagged",
    ],
    &["delivered", "recall"],
    &["decode", "message_json", "celery", "poison", "layout", "transport", "stint", "tally", "watchdog"],
    &["broker"],
    &["handler"],
    &["pool", "publisher", "consumer"],
    &["intake"],
    &["context"],
    &["step"],
    &["blueprint"],
    &["steps", "handlers", "supervisor"],
    &["worker"],
    &["config", "cli", "main", "coming_from"],
    &["fuzzing"],
];

/// Crates that a default build compiles or links, this one included. Whoever adds one argues it in the commit and raises this.
const CRATES_AT_MOST: usize = 105;

const LINES_AT_MOST: usize = 400;

/// The one place that sleeps, between two looks at a condition.
const MAY_SLEEP: &str = "tests/it/support/wait.rs";

#[test]
fn an_import_never_goes_up_a_layer() {
    let files = sources(&["src"]).into_iter().filter(|file| file.path != "src/lib.rs");
    report("imports that go up, or whose layer is unknown", files.flat_map(|file| layer_offences(&file)));
}

#[test]
fn a_step_imports_only_what_a_users_step_could() {
    let files = sources(&["steps"]).into_iter().filter(|file| file.path != "steps/mod.rs");
    let offences = files.flat_map(|file| {
        let lines = file.lines_with(|code| has_word(code, "crate::") || has_word(code, "super::"));
        lines
            .into_iter()
            .map(|line| format!("{line}: write `use bootstep::…`, so that the file can be copied into another project"))
    });
    report("steps that reach for something private", offences);
}

#[test]
fn every_file_says_first_why_it_exists() {
    let files = all_sources().into_iter().filter(|file| !file.text.starts_with("//! "));
    report("files whose first line is not `//!` and a sentence", files.map(|file| file.path));
}

#[test]
fn no_file_is_too_long_to_read() {
    let lengths = all_sources().into_iter().map(|file| (file.text.lines().count(), file.path));
    let long = lengths.filter(|(length, _)| *length > LINES_AT_MOST);
    report(&format!("files of more than {LINES_AT_MOST} lines"), long.map(|(length, path)| format!("{path}: {length}")));
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let files = sources(&["src", "steps"]).into_iter().filter(|file| !file.path.contains("/tests/"));
    let lines = files.flat_map(|file| file.lines_with(|code| code.contains(".unwrap()")));
    report("`unwrap()` outside tests; write `expect(\"why this cannot be\")` or return the error", lines);
}

#[test]
fn nothing_unfinished_or_left_from_debugging_is_committed() {
    const LEFTOVERS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
    let anywhere =
        all_sources().into_iter().flat_map(|file| file.lines_with(|code| LEFTOVERS.iter().any(|word| has_word(code, word))));
    let printed = sources(&["src"]).into_iter().flat_map(|file| file.lines_with(|code| has_word(code, "println!")));
    report("leftovers, or `println!` in the library", anywhere.chain(printed));
}

#[test]
fn nothing_sleeps_instead_of_waiting_for_a_condition() {
    let files = sources(&["src", "steps", "tests"]).into_iter().filter(|file| file.path != MAY_SLEEP);
    let lines = files.flat_map(|file| file.lines_with(|code| has_word(code, "sleep(")));
    report("sleeps; wait for a channel, or in tests with `eventually`", lines);
}

#[test]
fn a_default_build_has_no_more_crates_than_agreed() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal", "--prefix", "none", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "`cargo tree` failed: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    // cargo marks with `(*)` what it has shown before.
    let crates: BTreeSet<&str> =
        tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()).collect();
    let count = crates.len();
    assert!(
        count <= CRATES_AT_MOST,
        "a default build has {count} crates, {CRATES_AT_MOST} are agreed; `cargo tree` shows who brings them"
    );
}

#[track_caller]
fn report(what: &str, offences: impl IntoIterator<Item = String>) {
    let offences: Vec<String> = offences.into_iter().collect();
    assert!(offences.is_empty(), "{what}:\n  {}", offences.join("\n  "));
}

fn layer_offences(file: &Source) -> Vec<String> {
    let module = file.path["src/".len()..].split(['/', '.']).next().unwrap_or_default();
    let Some(own) = layer_of(module) else {
        return vec![format!("{}: `{module}` is not in the table LAYERS of tests/it/tidy.rs", file.path)];
    };
    let mut offences = Vec::new();
    for (name, line) in imported_modules(file) {
        let place = format!("{}:{line}", file.path);
        match layer_of(&name) {
            None => {
                offences.push(format!("{place}: `crate::{name}` is no module in the table LAYERS; import it from its module"))
            }
            Some(layer) if layer > own => offences.push(format!("{place}: `{module}` imports `{name}`, which stands above it")),
            Some(_) => {}
        }
    }
    offences
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// The first name after each `crate::` in the file, and the line where that stands. In a file directly in `src/`, `super::` is the same.
fn imported_modules(file: &Source) -> Vec<(String, usize)> {
    let at_top = Path::new(&file.path).parent() == Some(Path::new("src"));
    let roots: &[&str] = if at_top { &["crate::", "super::"] } else { &["crate::"] };
    let mut imported = Vec::new();
    for root in roots {
        for at in word_positions(&file.code, root) {
            let line = file.code[..at].matches('\n').count() + 1;
            let rest = &file.code[at + root.len()..];
            imported.extend(first_names(rest).into_iter().map(|name| (name, line)));
        }
    }
    imported
}

/// The names that a path can begin with: one for `a::B`, several for `{a::B, c::{D, E}}`.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.trim_start().strip_prefix('{') else {
        return vec![leading_name(path)];
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(leading_name(&group[start..at]));
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn leading_name(path: &str) -> String {
    path.trim_start().chars().take_while(|character| is_name(*character)).collect()
}

fn has_word(code: &str, word: &str) -> bool {
    !word_positions(code, word).is_empty()
}

// A longer name that ends in the word is another word: `eprintln!` is not `println!`, `$crate::` not `crate::`.
fn word_positions(code: &str, word: &str) -> Vec<usize> {
    let begins = |at: &usize| !code[..*at].ends_with(|before: char| is_name(before) || before == '$');
    code.match_indices(word).map(|(at, _)| at).filter(begins).collect()
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// A file of this repository: as it is, and as the rules see it.
struct Source {
    path: String,
    text: String,
    /// The text without comments, literals and inline test modules, line for line.
    code: String,
}

impl Source {
    fn lines_with(&self, matches: impl Fn(&str) -> bool) -> Vec<String> {
        let lines = self.code.lines().enumerate().filter(|(_, line)| matches(line));
        lines.map(|(index, line)| format!("{}:{}: {}", self.path, index + 1, line.trim())).collect()
    }
}

fn all_sources() -> Vec<Source> {
    sources(&["src", "steps", "tests", "examples", "benches", "fuzz/fuzz_targets"])
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    // A folder that is not there yet has nothing to check.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn read(path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{} cannot be read: {err}", path.display()));
    let path = path.strip_prefix(root()).expect("it was found under the root").to_string_lossy().replace('\\', "/");
    let is_unit_test = path.ends_with("/tests.rs");
    let code = if is_unit_test { String::new() } else { without_test_module(&blanked(&text)).to_owned() };
    Source { path, text, code }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// Only an inline module ends the checked part: it stands last in its file, by our habit; `mod tests;` may stand first.
fn without_test_module(code: &str) -> &str {
    let is_inline = |at: &usize| {
        let rest = code[*at..].trim_start_matches("#[cfg(test)]").trim_start();
        rest.starts_with("mod ") && rest.split('\n').next().is_some_and(|line| line.contains('{'))
    };
    let end = code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(is_inline);
    &code[..end.unwrap_or(code.len())]
}

/// The text with comments and the insides of literals taken out; every line stays where it was.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = comment_or_literal(rest, &code);
        if length == 0 {
            code.push(character);
            rest = &rest[character.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().filter(|character| *character == '\n'));
            rest = &rest[length..];
        }
    }
    code
}

/// How many bytes at the start of `rest` are a comment or a literal; `before` tells a raw string from a name that ends in `r`.
fn comment_or_literal(rest: &str, before: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if rest.starts_with('r') && !before.ends_with(|character: char| is_name(character) && character != 'b') {
        let hashes = rest[1..].chars().take_while(|character| *character == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = 2 + hashes;
            return rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len());
        }
    }
    // A lifetime has no second quote right behind its first character.
    let is_character = rest.starts_with("'\\") || (rest.starts_with('\'') && rest.chars().nth(2) == Some('\''));
    if is_character {
        return quoted(rest, '\'');
    }
    0
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[test]
fn the_rules_see_code_and_neither_comments_nor_literals() {
    let check = |text: &str, code: &str| assert_eq!(blanked(text), code);
    check("a // crate::b\nc", "a \nc");
    check("a /* b\n */ c", "a \n c");
    check("f(\"x \\\" // y\", b'\"', '\\'')", "f(, b, )");
    check("r#\"sleep(\"#; fn<'a>(x: &'a str)", "; fn<'a>(x: &'a str)");
}

#[test]
fn grouped_and_inline_imports_are_both_seen() {
    let check = |path: &str, names: &[&str]| assert_eq!(first_names(path), names);
    check("error::Error;", &["error"]);
    check("{error::{Error, Fault}, message, clock::Clock as C};", &["error", "message", "clock"]);
    check("{\n    error::Error,\n    topology::*,\n};", &["error", "topology"]);
}
