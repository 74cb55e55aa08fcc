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
