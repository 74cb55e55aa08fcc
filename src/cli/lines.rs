//! Files of lines as they are read: on a thread of their own, so that an input that stalls keeps nobody from ending the command.

use super::failure::Failure;
use crossbeam_channel::{bounded, Receiver, RecvTimeoutError, Sender};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

/// Read ahead: enough that nobody waits for the other, little enough that large ones do not fill the memory.
const AHEAD: usize = 64;

/// The longest line: twice the largest message that RabbitMQ can be set to take, as base64.
const LINE_BYTES: u64 = 1 << 30;

/// One line, without its end.
#[derive(Debug, PartialEq)]
pub(crate) struct Line {
    /// From 1.
    pub number: u64,
    pub bytes: Vec<u8>,
    /// Whether it has its end: whoever was killed while writing leaves one without.
    pub is_whole: bool,
}

/// What the next look brings.
pub(crate) enum Next<T> {
    One(T),
    /// Nothing yet.
    Later,
    End,
}

/// The lines of a file, in their order.
pub(crate) struct Lines {
    name: String,
    receiver: Receiver<io::Result<Line>>,
}

impl Lines {
    /// Those of a file, or of standard input if it is `-`.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let (name, input): (String, Box<dyn Read + Send>) = match path.to_str() {
            Some("-") => ("standard input".into(), Box::new(io::stdin())),
            _ => (format!("`{}`", path.display()), Box::new(open(path)?)),
        };
        let (sender, receiver) = bounded(AHEAD);
        let reading = std::thread::Builder::new().name("bootstep-lines".into());
        reading
            .spawn(move || read(BufReader::with_capacity(1 << 16, input), &sender))
            .map_err(|err| Failure::incomplete(format!("no thread could be started to read {name}: {err}")))?;
        Ok(Lines { name, receiver })
    }

    /// What they are the lines of, for an error.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn next(&self, within: Duration) -> Result<Next<Line>, Failure> {
        match self.receiver.recv_timeout(within) {
            Ok(Ok(line)) => Ok(Next::One(line)),
            Ok(Err(err)) => Err(Failure::usage(format!("{} could not be read: {err}", self.name))),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Later),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
        }
    }
}

/// A file to be read, or what to do about it.
pub(crate) fn open(path: &Path) -> Result<File, Failure> {
    let opened = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::Error::other("it is a folder")),
        false => Ok(file),
    });
    opened.map_err(|err| Failure::usage(format!("`{}` could not be read: {err}; name a file that can be", path.display())))
}

fn read(mut input: impl BufRead, lines: &Sender<io::Result<Line>>) {
    for number in 1.. {
        let line = read_line(&mut input, number);
        let is_last = !matches!(line, Ok(Some(_)));
        // Who asked has all, or has gone.
        if line.transpose().is_some_and(|line| lines.send(line).is_err()) || is_last {
            return;
        }
    }
}

fn read_line(input: &mut impl BufRead, number: u64) -> io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    let length = input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if length == 0 {
        return Ok(None);
    }
    let is_whole = bytes.last() == Some(&b'\n');
    if !is_whole && length as u64 == LINE_BYTES {
        return Err(io::Error::other(format!("line {number} is longer than 1 GiB")));
    }
    if is_whole {
        bytes.pop();
    }
    Ok(Some(Line { number, bytes, is_whole }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_number_and_the_last_may_have_no_end() {
        let mut input = &b"one\n\n\xff\r\nlast"[..];
        let line = |number, bytes: &[u8], is_whole| Some(Line { number, bytes: bytes.into(), is_whole });
        for expected in [line(1, b"one", true), line(2, b"", true), line(3, b"\xff\r", true), line(4, b"last", false), None] {
            let number = expected.as_ref().map_or(5, |line| line.number);
            assert_eq!(read_line(&mut input, number).unwrap(), expected);
        }
    }
}
