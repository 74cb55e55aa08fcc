//! Secrets: written out, from a file, or from the service manager; never in an output.

use super::fields::Fields;
use super::layers::unreadable;
use super::Surroundings;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No login is longer, and a file without an end ends here.
const MOST_BYTES: u64 = 64 * 1024;

/// The secret of this name: under `NAME` itself, in the file that `NAME_file` names, or in the service manager's credential that
/// `NAME_credential` names; the one set at the highest place.
pub(super) fn read(fields: &Fields<'_>, name: &str, around: &Surroundings) -> Option<String> {
    let (file, credential) = (format!("{name}_file"), format!("{name}_credential"));
    let ways = [name, &file, &credential];
    let highest = ways.iter().filter_map(|way| fields.rank(way)).max()?;
    let mut given = ways.into_iter().filter(|way| fields.rank(way) == Some(highest));
    let way = given.next()?;
    if let Some(other) = given.next() {
        fields.wrong(other, &format!("and `{way}` say the same in two ways; leave one of them out"));
    }
    if way == name {
        let secret = fields.text(name)?;
        warn_of_readers_of_settings(fields, name, &secret, highest, around);
        return Some(secret);
    }
    let text = fields.text(way)?;
    let path = if way == file { around.path(&text) } else { credential_file(fields, way, &text, around)? };
    content(fields, way, &path)
}

/// Where the service manager has put it (<https://systemd.io/CREDENTIALS/>).
fn credential_file(fields: &Fields<'_>, way: &str, name: &str, around: &Surroundings) -> Option<PathBuf> {
    let wrong = |what: &str| {
        fields.wrong(way, what);
        None
    };
    if name.is_empty() || name.contains('/') || name == ".." {
        return wrong("is no name of a credential, which has no `/`");
    }
    match around.variable("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(Path::new(folder).join(name)),
        None => wrong(&format!(
            "needs `$CREDENTIALS_DIRECTORY`, which systemd sets for a unit that has `LoadCredential={name}:FILE`; elsewhere use a file"
        )),
    }
}

fn content(fields: &Fields<'_>, way: &str, path: &Path) -> Option<String> {
    let shown = path.display();
    let wrong = |what: String| {
        fields.wrong(way, &what);
        None
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        warn_of_readers(fields, way, path, &file);
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes)
    });
    if let Err(err) = read {
        return wrong(format!("names `{shown}`: {}", unreadable(&err)));
    }
    if bytes.len() as u64 > MOST_BYTES {
        return wrong(format!("names `{shown}`, which is larger than 64 KiB: that is no secret"));
    }
    let Ok(mut text) = String::from_utf8(bytes) else {
        return wrong(format!("names `{shown}`, which is not UTF-8"));
    };
    // Editors and `echo` end a file with a line end, which is in no password; one that is meant is the second.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return wrong(format!("names `{shown}`, which is empty"));
    }
    Some(text)
}

#[cfg(unix)]
fn is_read_by_all(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|about| about.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_read_by_all(_file: &File) -> bool {
    false
}

fn warn_of_readers(fields: &Fields<'_>, way: &str, path: &Path, file: &File) {
    if is_read_by_all(file) {
        let shown = path.display();
        fields.doubt(way, &format!("names `{shown}`, which everybody on this machine may read; say `chmod o-r {shown}`"));
    }
}

fn warn_of_readers_of_settings(fields: &Fields<'_>, name: &str, secret: &str, rank: u8, around: &Surroundings) {
    // A URL is one only if it has a login.
    let is_secret = name != "url" || secret.contains('@');
    let file = around.file.as_ref().filter(|_| rank == 0 && is_secret).and_then(|path| Some((path, File::open(path).ok()?)));
    if let Some((path, file)) = file {
        if is_read_by_all(&file) {
            let shown = path.display();
            fields.doubt(
                name,
                &format!(
                    "has a password in `{shown}`, which everybody on this machine may read; say `chmod o-r {shown}`, or use \
                     `{name}_file`"
                ),
            );
        }
    }
}
