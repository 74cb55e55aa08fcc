//! A file that records are written to: never over what is there unless told to, and safe on the disk before anything is acked.

use super::failure::{Done, Failure};
use super::note::note;
use serde_json::Value as Json;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
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
    pub fn open<'a>(&self, out: &'a mut dyn Write) -> Result<RecordFile<'a>, Failure> {
        let place = match self.is_stdout() {
            true => Place::Stdout(out),
            false => Place::File(BufWriter::with_capacity(1 << 16, self.file().map_err(|err| self.not_opened(&err))?)),
        };
        Ok(RecordFile { place, name: self.name() })
    }

    fn file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true);
        if self.append {
            let mut file = options.read(true).create(true).truncate(false).open(&self.file)?;
            mend_end(&mut file, &self.name())?;
            return Ok(file);
        }
        let options = if self.overwrite { options.create(true).truncate(true) } else { options.create_new(true) };
        let file = options.open(&self.file)?;
        sync_folder(&self.file);
        Ok(file)
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

/// Goes to the end of the last whole line, and takes off what stands behind it: its writer was killed.
fn mend_end(file: &mut File, name: &str) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let end = end_of_last_line(file, length)?;
    file.seek(SeekFrom::Start(end))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    if tail.is_empty() {
        return Ok(());
    }
    if serde_json::from_slice::<Json>(&tail).is_ok_and(|json| json.is_object()) {
        // Only its end is missing, as from an editor.
        return file.write_all(b"\n");
    }
    note(&format!("{name} ended in the middle of a line, as when its writer is killed: {} bytes are taken off", tail.len()));
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end)).map(drop)
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
    File(BufWriter<File>),
}

impl RecordFile<'_> {
    pub fn write(&mut self, record: &Json) -> Done {
        let RecordFile { place, name } = self;
        match place {
            // One write for each, whatever it does with it.
            Place::Stdout(out) => Ok(writeln!(out, "{record}")?),
            Place::File(file) => {
                let written = serde_json::to_writer(&mut *file, record).map_err(io::Error::from);
                written.and_then(|()| file.write_all(b"\n")).map_err(|err| not_written(name, &err))
            }
        }
    }

    /// Gives what was written to the system.
    pub fn flush(&mut self) -> Done {
        match &mut self.place {
            Place::Stdout(out) => Ok(out.flush()?),
            Place::File(file) => file.flush().map_err(|err| not_written(&self.name, &err)),
        }
    }

    /// What was written stays, also after a power cut.
    pub fn sync(&mut self) -> Done {
        self.flush()?;
        match &mut self.place {
            Place::Stdout(_) => Ok(()),
            Place::File(file) => file.get_ref().sync_data().map_err(|err| not_written(&self.name, &err)),
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
        check(b"{\"b\":2}\n", b"{\"b\":2}\n{\"a\":1}\n");
        check(b"{\"b\":2}\n{\"bod", b"{\"b\":2}\n{\"a\":1}\n");
        check(b"{\"bod", b"{\"a\":1}\n");
        check(b"{\"b\":2}", b"{\"b\":2}\n{\"a\":1}\n");
        let long = "x".repeat(3 * PIECE as usize);
        check(format!("{{\"b\":2}}\n{{\"{long}").as_bytes(), b"{\"b\":2}\n{\"a\":1}\n");
        check(format!("{{\"b\":\"{long}\"}}\n").as_bytes(), format!("{{\"b\":\"{long}\"}}\n{{\"a\":1}}\n").as_bytes());
    }
}
