//! A cursor over the payload of a frame, which mends what is not UTF-8 as it goes.

/// Something that could not be read as it came.
#[derive(Debug, PartialEq)]
pub(super) struct Mend {
    /// What is wrong with it, such as `its routing key is not UTF-8`.
    pub why: String,
    /// What it is called.
    pub name: &'static str,
    /// The bytes as they came.
    pub original: Vec<u8>,
}

/// Walks a payload from front to back; `None` anywhere means that it ends too early.
pub(super) struct Fields<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Fields { bytes, at: 0 }
    }

    /// How far it has come.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn take(&mut self, length: usize) -> Option<&mut [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let taken = &mut self.bytes[self.at..end];
        self.at = end;
        Some(taken)
    }

    pub fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(drop)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take(2).and_then(|bytes| Some(u16::from_be_bytes((*bytes).try_into().ok()?)))
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take(4).and_then(|bytes| Some(u32::from_be_bytes((*bytes).try_into().ok()?)))
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take(8).and_then(|bytes| Some(u64::from_be_bytes((*bytes).try_into().ok()?)))
    }

    /// A short string; if it had to be mended, the bytes that it came with.
    pub fn short_string(&mut self) -> Option<Option<Vec<u8>>> {
        let length = self.u8()?;
        self.take(length.into()).map(mend)
    }

    /// The bytes of what a 32-bit length stands before: a long string or a table.
    pub fn long(&mut self) -> Option<&mut [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }
}

/// Asked of every text of every message; nearly all of them are short and ASCII.
pub(super) fn is_utf8(text: &[u8]) -> bool {
    text.is_ascii() || std::str::from_utf8(text).is_ok()
}

/// Puts a `?` for each byte that is not UTF-8, so that every length stays what it is; answers the bytes as they were, if so.
pub(super) fn mend(text: &mut [u8]) -> Option<Vec<u8>> {
    if is_utf8(text) {
        return None;
    }
    let original = text.to_vec();
    let mut at = 0;
    for chunk in original.utf8_chunks() {
        at += chunk.valid().len();
        text[at..at + chunk.invalid().len()].fill(b'?');
        at += chunk.invalid().len();
    }
    Some(original)
}
