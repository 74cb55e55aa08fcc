//! Files that a URL names and that are not what they should be: each is named, with what is wrong, before anything is connected.

use crate::authority::Authority;
use bootstep::{Broker, Fault};
use std::fs;
use tempfile::TempDir;

#[test]
fn a_file_that_is_no_good_is_named_with_what_is_wrong_with_it() {
    let folder = TempDir::with_prefix("bootstep-tls-").unwrap();
    let (authority, other) = (Authority::named("authority"), Authority::named("other"));
    let (ours, others) = (authority.signs("ours", &[]), other.signs("others", &[]));
    let broken = ours.certificate.replace('M', "!");
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nc3VycHJpc2U=\n-----END CERTIFICATE-----\n";
    let encrypted = ours.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let files = [
        ("ca", authority.pem()),
        ("cert", ours.certificate.clone()),
        ("key", ours.key.clone()),
        ("other-key", others.key),
        ("empty", String::new()),
        ("prose", "this is no PEM".to_owned()),
        ("broken", broken),
        ("not-a-certificate", not_a_certificate.to_owned()),
        ("encrypted", encrypted),
        ("both", ours.certificate + &ours.key),
    ];
    for (name, content) in &files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let check = |settings: &[(&str, &str)], expected: &str| {
        let query: Vec<String> = settings.iter().map(|(name, file)| format!("{name}={}", path(file))).collect();
        // Nobody listens there: what is wrong with the files is known before.
        let url = format!("amqps://guest:s3cret@localhost:1?{}", query.join("&"));
        let err = Broker::amqp(&url).unwrap().connect("test").unwrap_err();
        let expected = expected.replace("{}", &path(""));
        assert!(err.to_string().contains(&expected), "{err}\nexpected {expected}");
        assert!(!err.to_string().contains("s3cret"), "{err}");
        let is_about_files = err.fault() == Fault::Config;
        assert_eq!(is_about_files, expected.contains("file"), "{err}");
    };
    check(&[("cacertfile", "missing")], "the file `{}missing` (`cacertfile`) cannot be read: No such file");
    check(&[("cacertfile", "empty")], "the file `{}empty` (`cacertfile`) is empty");
    check(&[("cacertfile", "prose")], "the file `{}prose` (`cacertfile`) has no certificate in it; it is to be PEM");
    check(&[("cacertfile", "key")], "the file `{}key` (`cacertfile`) has no certificate in it");
    check(&[("cacertfile", "broken")], "the file `{}broken` (`cacertfile`) is broken");
    check(&[("cacertfile", "not-a-certificate")], "`{}not-a-certificate` (`cacertfile`) has a certificate that cannot be read");
    check(&[("cacertfile", "")], "the file `{}` (`cacertfile`) cannot be read: Is a directory");
    let client = |certfile, keyfile| [("cacertfile", "ca"), ("certfile", certfile), ("keyfile", keyfile)];
    check(&client("missing", "key"), "the file `{}missing` (`certfile`) cannot be read");
    check(&client("cert", "missing"), "the file `{}missing` (`keyfile`) cannot be read");
    check(&client("cert", "cert"), "the file `{}cert` (`keyfile`) has no private key in it");
    check(&client("key", "key"), "the file `{}key` (`certfile`) has no certificate in it");
    check(&client("cert", "encrypted"), "the file `{}encrypted` (`keyfile`) is encrypted");
    check(
        &client("cert", "other-key"),
        "the file `{}other-key` (`keyfile`) is not the key of the first certificate in `{}cert`",
    );
    check(&client("not-a-certificate", "key"), "the file `{}not-a-certificate` (`certfile`) has a certificate that cannot be");
    check(&client("both", "both"), "could not connect to");
}
