//! What the program says of itself, and of what was typed wrongly.

use super::{bootstep, said, snapshot};

#[test]
fn every_subcommand_teaches_how_it_is_used() {
    let cases: [(&str, &[&str]); 3] =
        [("help", &["--help"]), ("help-run", &["run", "--help"]), ("help-check", &["check", "--help"])];
    for (name, arguments) in cases {
        let (out, err, code) = said(&mut bootstep(arguments));
        assert_eq!((err.as_str(), code), ("", 0));
        snapshot(name, &out);
    }
}

#[test]
fn what_was_typed_wrongly_is_told_and_ends_with_2() {
    let cases: [(&str, &[&str]); 4] = [
        ("wrong-nothing", &[]),
        ("wrong-subcommand", &["rum"]),
        ("wrong-flag", &["run", "--confg", "x"]),
        ("wrong-no-file", &["run"]),
    ];
    for (name, arguments) in cases {
        let (out, err, code) = said(&mut bootstep(arguments));
        assert_eq!((out.as_str(), code), ("", 2));
        snapshot(name, &err);
    }
}

#[test]
fn shells_get_completions_and_readers_man_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let (out, err, code) = said(&mut bootstep(&["completions", shell]));
        assert_eq!((err.as_str(), code), ("", 0));
        assert!(out.contains("bootstep") && out.contains("archive"), "{shell}");
    }
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    let (_, err, code) = said(&mut bootstep(&["man", path]));
    assert_eq!((err.as_str(), code), ("", 0));
    for page in ["bootstep.1", "bootstep-run.1", "bootstep-archive-replay.1"] {
        assert!(std::fs::read_to_string(folder.path().join(page)).unwrap().contains(".TH"), "{page}");
    }
    let (_, err, code) = said(&mut bootstep(&["man", "/no/such/folder"]));
    assert_eq!(code, 2);
    assert!(err.contains("`/no/such/folder`"), "{err}");
}
