//! What a URL may look like, what is said of one that cannot be read, and that no password is ever in that.

use super::*;

#[track_caller]
fn check(url: &str, expected: &str) {
    let shown = match Addresses::parse(url) {
        Ok(addresses) => format!("{addresses} {:?}", addresses.hosts()[0].password),
        Err(err) => err.to_string(),
    };
    assert!(shown.contains(expected), "{url}: {shown}");
}

#[test]
fn a_url_gives_every_part_or_its_default() {
    check("amqp://localhost", "guest@localhost:5672, virtual host `/` \"guest\"");
    check(" AMQP://h\n", "guest@h:5672");
    check("amqp://", "guest@localhost:5672");
    check("amqp://u@", "u@localhost:5672, virtual host `/` \"guest\"");
    check("amqp://u:@h", "u@h:5672, virtual host `/` \"\"");
    check("amqp://u%20s:p%40ss@h:1/v%2fh?heartbeat=3", "u s@h:1, virtual host `v/h` \"p@ss\"");
    check("amqp://u:a:b,c@h%2dx", "u@h-x:5672, virtual host `/` \"a:b,c\"");
    check("amqp://[::1]:7", "guest@[::1]:7");
    check("amqp://[fe80::1%25eth0]", "guest@[fe80::1%eth0]:5672");
}

#[test]
fn several_hosts_share_everything_else() {
    let all = Addresses::parse("amqp://u:p@a,b:5673,[::1]:7,c/v?heartbeat=10").expect("this is a good URL");
    let shown: Vec<String> = all.hosts().iter().map(Address::to_string).collect();
    let expected = ["u@a:5672, virtual host `v`", "u@b:5673, virtual host `v`"];
    assert_eq!(shown[..2], expected);
    assert_eq!(shown[2..], ["u@[::1]:7, virtual host `v`", "u@c:5672, virtual host `v`"]);
    assert_eq!(all.to_string(), shown.join(", or "));
    assert!(all.hosts().iter().all(|address| address.password == "p" && address.settings == all.hosts()[0].settings));
}

#[test]
fn several_urls_each_have_their_own_login() {
    let all = Addresses::parse_all(["amqp://u:p@a,b", "amqp://c:1/v"]).expect("these are good URLs");
    let expected = "u@a:5672, virtual host `/`, or u@b:5672, virtual host `/`, or guest@c:1, virtual host `v`";
    assert_eq!(all.to_string(), expected);
    let wrong = |urls: &[&str]| Addresses::parse_all(urls.iter().copied()).expect_err("one is wrong").to_string();
    assert!(wrong(&["amqp://a", "amqp://b:x"]).starts_with("URL 2: a port in the AMQP URL"));
    assert!(wrong(&[]).starts_with("no AMQP URL is given; write it like"));
}

#[test]
fn a_url_that_cannot_be_read_is_told_how_to_write_one() {
    check("amqp://h/", "leave the slash out");
    check("amqp://h/a/b", "more than one `/`");
    check("http://h", "begins with `http:`; write it like `amqp://");
    check(&format!("{}://h", "http".repeat(20)), "does not begin with `amqp://`; write it like");
    check("localhost:5672", "does not begin with `amqp://`; write it like");
    check(" ", "is empty: write it like");
    check("amqp:h", "does not begin with `amqp://`");
    check("amqp://a,,b", "an empty host name among its hosts");
    check("amqp://a,", "an empty host name among its hosts");
    check("amqp://:5672", "an empty host name among its hosts");
    check("amqp://h:", "a port in the AMQP URL is not a number from 1 to 65535");
    check("amqp://a,h:0", "a port in the AMQP URL is not a number from 1 to 65535");
    check("amqp://::1", "write an IPv6 address in brackets");
    check("amqp://[::1", "not written like `[::1]`");
    check("amqp://[::1]5672", "not written like `[::1]`");
    check("amqp://[h]", "not an IPv6 address");
    check("amqp://[fe80::1%25]", "not an IPv6 address");
    check("amqp://[fe80::1%25eth0%0aERROR]", "not an IPv6 address");
    check("amqp://a b", "a character that is in no host name; several hosts have commas between them");
    check("amqp://a;b", "several hosts have commas between them");
    check("amqp://a,amqp://b", "hand several URLs to `Broker::amqp_any`");
    check("amqp://user:Zq7?Xw9", "a port in the AMQP URL is not a number");
    check("amqp://@h", "no user name before it");
    check("amqp://u:50%@h", "the password in the AMQP URL has a `%` without two hexadecimal digits behind it");
    check("amqp://u:%ff@h", "the password in the AMQP URL is not UTF-8");
    check("amqp://u%4:p@h", "the user name in the AMQP URL has a `%`");
    check("amqp://h%zz", "the host in the AMQP URL has a `%`");
    check("amqp://h/%+f", "the virtual host in the AMQP URL has a `%`");
}

/// Nothing that is shown may hold a piece of a password, however wrongly that was written.
#[test]
fn no_piece_of_a_password_is_in_any_output() {
    const PIECE: &str = "s3cret";
    let marks =
        ["", "%40", "@", ",", ":", "/", "?", "#", "%", "[", "]", "//", "://", "@@", ",@", "/@", "?a=", "&", " ", "\\", "%zz"];
    let hosts = ["h", "a,b:5673", "[::1]:7,c", "h:1/v", "a,b/v?heartbeat=1", "h:x", "", "h,"];
    for mark in marks {
        for second in marks {
            for host in hosts {
                let password = format!("{PIECE}{mark}{PIECE}{second}{PIECE}");
                for url in [
                    format!("amqp://user:{password}@{host}"),
                    format!("amqps://user:{password}@{host}"),
                    format!("user:{password}@{host}"),
                ] {
                    for parsed in [Addresses::parse(&url), Addresses::parse_all(["amqp://good", &url])] {
                        let shown = match parsed {
                            Ok(addresses) => format!("{addresses} {addresses:?} {:?}", addresses.hosts()[0]),
                            Err(err) => format!("{err} {err:?}"),
                        };
                        assert!(!shown.contains(PIECE), "{url}: {shown}");
                    }
                }
            }
        }
    }
}
