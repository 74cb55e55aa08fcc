//! A file that records are written to: never over what is there unless told to, and safe on the disk before anything is acked.

use super::failure::{Done, Failure};
use super::note::note;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How much of a file's end is looked at in one piece.
const PIECE: u64 = 64 * 1024;

/// Where records go, as it is typed.
#[derive(clap::Args)]
pub(crate) struct WriteTo {
    /// The file for the records, one a line; `-` is standard output
    #[arg(long = "to", value_name = "FILE")]
    file: PathBuf,
    /// Adds to the file if it exists; a half-written last line is taken off first
    #[arg(long, conflicts_with = "overwrite")]
    append: bool,
    /// Replaces the file if it exists
    #[arg(long)]
    overwrite: bool,
}

impl WriteTo {
    pub fn is_stdout(&self) -> bool {
        self.file.as_os_str() == "-"
    }

    /// What it is called in what a person is told.
    pub fn name(&self) -> String {
        if self.is_stdout() {
            "standard output".into()
        } else {
            format!("`{}`", self.file.display())
        }
    }

    /// Opens it, and creates it where needed; `out` is standard output.
    ///
    /// # Errors
    /// When it cannot be written, is not to be written over, or another program writes there.
    pub fn open<'a>(&self, out: &'a mut dyn Write) -> Result<RecordFile<'a>, Failure> {
        let place = match self.is_stdout() {
            true => Place::Stdout(out),
            false => Place::File(self.file()?),
        };
        Ok(RecordFile { place, name: self.name() })
    }

    fn file(&self) -> Result<Kept, Failure> {
        let not_opened = |err| self.not_opened(&err);
        // A device or a pipe has no end to be mended, and nothing that another program could destroy.
        let is_stream = std::fs::metadata(&self.file).is_ok_and(|found| !found.is_file());
        if is_stream && (self.append || self.overwrite) {
            let file = OpenOptions::new().write(true).open(&self.file).map_err(not_opened)?;
            return Ok(Kept { file: BufWriter::new(file), path: None, _lock: None });
        }
        let mut options = OpenOptions::new();
        options.read(self.append).append(true);
        let options = if self.append || self.overwrite { options.create(true) } else { options.create_new(true) };
        let mut file = options.open(&self.file).map_err(not_opened)?;
        // Locked before anything is cut off: what is there may be another program's.
        let lock = self.lock(&file)?;
        if self.overwrite {
            file.set_len(0).map_err(not_opened)?;
        }
        mend_end(&mut file, &self.name()).map_err(not_opened)?;
        sync_folder(&self.file);
        Ok(Kept { file: BufWriter::with_capacity(1 << 16, file), path: Some(self.file.clone()), _lock: Some(lock) })
    }

    /// Two that write to the same file would take each other's records for half-written ones.
    fn lock(&self, file: &File) -> Result<Flock<File>, Failure> {
        let name = self.name();
        let file = file.try_clone().map_err(|err| self.not_opened(&err))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            Failure::usage(match errno {
                Errno::EWOULDBLOCK => format!("another program writes to {name}: wait for its end, or name another file"),
                errno => format!("{name} could not be locked: {errno}; name a file on a file system that has locks"),
            })
        })
    }

    fn not_opened(&self, err: &io::Error) -> Failure {
        let name = self.name();
        Failure::usage(match err.kind() {
            ErrorKind::AlreadyExists => format!("{name} exists: say `--append` to add to it, or `--overwrite` to replace it"),
            _ => format!("{name} could not be written: {err}; name a file that can be"),
        })
    }
}

/// A new file is found again after a power cut only if its folder is on the disk, too.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Not every file system lets a folder be synced.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Takes off what stands behind the last whole line, if that is a record that was cut: its writer was killed.
fn mend_end(file: &mut File, name: &str) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let end = end_of_last_line(file, length)?;
    if end == length {
        return Ok(());
    }
    file.seek(SeekFrom::Start(end))?;
    let mut first = [0];
    file.read_exact(&mut first)?;
    let bytes = length - end;
    if first != *b"{" {
        let what = format!("its last {bytes} bytes are neither a line nor a record that was cut, so it is something else");
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    file.seek(SeekFrom::Start(end))?;
    if serde_json::from_reader::<_, IgnoredAny>(BufReader::new(&*file)).is_ok() {
        // Only its end is missing, as from an editor.
        return file.write_all(b"\n");
    }
    note(&format!("{name} ended in the middle of a line, as when its writer is killed: {bytes} bytes are taken off"));
    file.set_len(end)
}

fn end_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(PIECE);
        let mut piece = vec![0; (end - begin) as usize];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut piece)?;
        if let Some(place) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + place as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// An open file of records.
pub(crate) struct RecordFile<'a> {
    place: Place<'a>,
    name: String,
}

enum Place<'a> {
    Stdout(&'a mut dyn Write),
    File(Kept),
}

/// A file that nobody else writes to by this program.
struct Kept {
    /// Before the lock: what it still holds is written under it.
    file: BufWriter<File>,
    /// Where it has to be still; `None` for a device or a pipe.
    path: Option<PathBuf>,
    _lock: Option<Flock<File>>,
}

impl Kept {
    /// What is written to a file that was removed is gone when its writer ends.
    fn is_where_it_was(&self) -> io::Result<bool> {
        let Some(path) = &self.path else { return Ok(true) };
        let id = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        let ours = self.file.get_ref().metadata()?;
        Ok(ours.nlink() > 0 && std::fs::metadata(path).is_ok_and(|there| id(&there) == id(&ours)))
    }

    fn still_there(&self, name: &str) -> Done {
        match self.is_where_it_was() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::incomplete(format!(
                "{name} was removed or moved away while it was written to; what was not safe before is where it was"
            ))),
            Err(err) => Err(not_written(name, &err)),
        }
    }
}

impl RecordFile<'_> {
    pub fn write(&mut self, record: &Json) -> Done {
        let RecordFile { place, name } = self;
        match place {
            // One write for each, whatever it does with it.
            Place::Stdout(out) => Ok(writeln!(out, "{record}")?),
            Place::File(Kept { file, .. }) => {
                let written = serde_json::to_writer(&mut *file, record).map_err(io::Error::from);
                written.and_then(|()| file.write_all(b"\n")).map_err(|err| not_written(name, &err))
            }
        }
    }

    /// Gives what was written to the system.
    ///
    /// # Errors
    /// When it could not be written, or the file is not where it was.
    pub fn flush(&mut self) -> Done {
        let name = &self.name;
        match &mut self.place {
            Place::Stdout(out) => Ok(out.flush()?),
            Place::File(kept) => {
                kept.file.flush().map_err(|err| not_written(name, &err))?;
                kept.still_there(name)
            }
        }
    }

    /// What was written stays, also after a power cut.
    ///
    /// # Errors
    /// When it could not be written, or the file is not where it was.
    pub fn sync(&mut self) -> Done {
        let name = &self.name;
        match &mut self.place {
            Place::Stdout(out) => Ok(out.flush()?),
            Place::File(kept) => {
                let synced = kept.file.flush().and_then(|()| kept.file.get_ref().sync_data());
                synced.map_err(|err| not_written(name, &err))?;
                // Afterwards: removed during the sync, it would be told at the next one, too late for these.
                kept.still_there(name)
            }
        }
    }
}

fn not_written(name: &str, err: &io::Error) -> Failure {
    Failure::incomplete(format!("{name} could not be written: {err}; what is not in it is where it was"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &[u8], after: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("records");
        std::fs::write(&file, before).unwrap();
        let to = WriteTo { file: file.clone(), append: true, overwrite: false };
        let mut out = Vec::new();
        let mut records = to.open(&mut out).unwrap();
        records.write(&serde_json::json!({"a": 1})).unwrap();
        records.sync().unwrap();
        assert_eq!(String::from_utf8(std::fs::read(&file).unwrap()), String::from_utf8(after.to_vec()));
    }

    #[test]
    fn a_half_written_last_line_is_taken_off() {
        check(b"", b"{\"a\":1}\n");
        check(b"# a line of something else\n", b"# a line of something else\n{\"a\":1}\n");
        check(b"{\"b\":2}\n", b"{\"b\":2}\n{\"a\":1}\n");
        check(b"{\"b\":2}\n{\"bod", b"{\"b\":2}\n{\"a\":1}\n");
        check(b"{\"bod", b"{\"a\":1}\n");
        check(b"{\"b\":2}", b"{\"b\":2}\n{\"a\":1}\n");
        let long = "x".repeat(3 * PIECE as usize);
        check(format!("{{\"b\":2}}\n{{\"{long}").as_bytes(), b"{\"b\":2}\n{\"a\":1}\n");
        check(format!("{{\"b\":\"{long}\"}}\n").as_bytes(), format!("{{\"b\":\"{long}\"}}\n{{\"a\":1}}\n").as_bytes());
    }
}
