//! Messages at the end of a file, a line each, written before they are acked.

use super::print::line;
use crate::delivered::Message;
use crate::error::{BoxError, Error, Fault};
use crate::handler::Handler;
use crate::outcome::Outcome;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Appends each message to a file, and acks it when the system has it: the body as it is, and a line end.
///
/// The file is made if it is not there, with the rights that the umask leaves, and opened anew when it was moved or deleted, as log
/// rotation does. A message is a whole line or none: what was written of one that did not fit (a full disk) is taken back, and that
/// is a failed attempt; where another process has appended meanwhile, a piece may stay. A crash between the write and the ack writes
/// the message again.
///
/// ```
/// use bootstep::handlers::Append;
/// use bootstep::{Handler, Message, Outcome, Publication};
///
/// let folder = tempfile::tempdir()?;
/// let append = Append::to(folder.path().join("orders.txt"));
/// let message = Message::from_publication(Publication::new("shop", "order.web", "two cups"));
/// assert_eq!(append.handle((), &message)?, Outcome::Ack);
/// assert_eq!(std::fs::read_to_string(folder.path().join("orders.txt"))?, "two cups\n");
/// # Ok::<(), bootstep::BoxError>(())
/// ```
#[derive(Debug)]
pub struct Append {
    path: PathBuf,
    is_json: bool,
    is_synced: bool,
    /// Open since the first message.
    file: Mutex<Option<File>>,
}

impl Append {
    /// The file to append to; bodies as they are, without waiting for the disk.
    pub fn to(path: impl Into<PathBuf>) -> Self {
        Append { path: path.into(), is_json: false, is_synced: false, file: Mutex::default() }
    }

    /// The whole message as a line of JSON, as [`Program::json_input`](super::Program::json_input) has it.
    pub fn json(mut self) -> Self {
        self.is_json = true;
        self
    }

    /// Each message is on the disk before its ack (`fdatasync`), and so is the entry of the file in its folder, so that a power cut
    /// loses none: slower by far.
    pub fn sync(mut self) -> Self {
        self.is_synced = true;
        self
    }

    /// Whether the file can be written to, before the first message wants that; it is made if it is not there.
    ///
    /// # Errors
    /// [`Fault::Config`] if it cannot be opened.
    pub fn check(&self) -> Result<(), Error> {
        let what = || format!("`{}` cannot be appended to; check the path and its rights", self.path.display());
        open(&self.path).map(drop).map_err(|err| Error::new(Fault::Config, what()).because(err))
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut opened = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.as_ref().is_none_or(|file| !is_at(file, &self.path)) {
            let file = open(&self.path)?;
            if self.is_synced {
                sync_folder(&self.path)?;
            }
            // Only now: a folder that could not be synced is tried again with the next message.
            *opened = Some(file);
        }
        let Some(file) = opened.as_mut() else { return Ok(()) };
        write_whole(file, line)?;
        match self.is_synced {
            true => file.sync_data(),
            false => Ok(()),
        }
    }
}

impl Handler for Append {
    type Body = ();

    fn handle(&self, (): (), message: &Message) -> Result<Outcome, BoxError> {
        match self.append(&line(message, self.is_json)) {
            Ok(()) => Ok(Outcome::Ack),
            Err(err) => Err(format!("`{}` cannot be appended to: {err}", self.path.display()).into()),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Without this, a new file may be gone after a power cut, whatever is in it. Also for one that was there: who made it may not have
/// waited for the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    // The folder that holds the file itself, where the path is a link or relative.
    match fs::canonicalize(path)?.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Whether the path still leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let (here, there) = (file.metadata().map(identity), fs::metadata(path).map(identity));
    matches!((here, there), (Ok(here), Ok(there)) if here == there)
}

/// Writes all or nothing, as long as nobody else writes: in one call, so that the lines of several processes do not mix.
fn write_whole(file: &mut File, line: &[u8]) -> io::Result<()> {
    let (before, mut written) = (file.metadata()?.len(), 0);
    while written < line.len() {
        let failure = match file.write(&line[written..]) {
            Ok(0) => ErrorKind::WriteZero.into(),
            Ok(length) => {
                written += length;
                continue;
            }
            Err(err) if err.kind() == ErrorKind::Interrupted => continue,
            Err(err) => err,
        };
        take_back(file, before, written)?;
        return Err(failure);
    }
    Ok(())
}

/// Where others have appended meanwhile, their lines are worth more than a clean file.
fn take_back(file: &File, before: u64, written: usize) -> io::Result<()> {
    match file.metadata()?.len() == before + written as u64 && written > 0 {
        true => file.set_len(before),
        false => Ok(()),
    }
}
