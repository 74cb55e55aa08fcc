//! The kept corpus, through the very functions that it was found with.

use std::fs;
use std::path::Path;

#[track_caller]
fn check(target: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // A failing test shows the last of them.
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 10, "{} holds only {count} inputs", folder.display());
}

#[test]
fn the_kept_streams_are_screened() {
    check("wire", super::wire);
}

#[test]
fn the_kept_messages_are_carried_and_moved() {
    check("headers", super::headers);
}

#[test]
fn the_kept_declarations_are_the_same_or_refused() {
    check("topology", super::topology);
}

#[test]
fn the_kept_urls_are_read_and_keep_their_passwords() {
    check("url", super::url);
}
