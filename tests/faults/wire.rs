//! AMQP frames as bytes go by: where one ends and the next begins, and what the few that matter here say.

/// Follows one direction of a connection. It keeps no bodies, only how much of the frame under way is still to come.
#[derive(Default)]
pub struct Tracker {
    head: Vec<u8>,
    /// Of the frame under way, the head included; `None` while its head is not complete.
    left: Option<usize>,
    greeted: bool,
}

/// What the first bytes of a frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: u8,
    pub channel: u16,
    /// Class and method, if it is a method.
    pub method: Option<(u16, u16)>,
}

/// Type, channel and size; then class and method.
const HEAD: usize = 7;
const METHOD: usize = 11;
const GREETING: usize = 8;

impl Tracker {
    /// The direction of a client, which greets with eight bytes before its first frame.
    pub fn greeting() -> Tracker {
        Tracker::default()
    }

    /// The direction of a broker.
    pub fn silent() -> Tracker {
        Tracker { greeted: true, ..Tracker::default() }
    }

    pub fn is_between_frames(&self) -> bool {
        self.greeted && self.head.is_empty() && self.left.is_none()
    }

    /// How many bytes at the start of `bytes` end a frame or the bytes at hand, whichever comes first; and the head of the frame if
    /// its first eleven bytes were completed by them.
    pub fn step(&mut self, bytes: &[u8]) -> (usize, Option<Head>) {
        if let Some(left) = &mut self.left {
            let taken = bytes.len().min(*left);
            *left -= taken;
            if *left == 0 {
                self.left = None;
            }
            return (taken, None);
        }
        let wanted = if self.greeted { METHOD } else { GREETING };
        let taken = bytes.len().min(wanted - self.head.len());
        self.head.extend_from_slice(&bytes[..taken]);
        // The shortest frame, a heartbeat, has eight bytes.
        let is_short = self.greeted && self.head.len() >= HEAD && self.length() <= METHOD;
        let wanted = if is_short { self.length() } else { wanted };
        if self.head.len() > wanted {
            let over = self.head.len() - wanted;
            self.head.truncate(wanted);
            return (taken - over, self.complete());
        }
        (taken, if self.head.len() == wanted { self.complete() } else { None })
    }

    fn complete(&mut self) -> Option<Head> {
        let head = std::mem::take(&mut self.head);
        if !self.greeted {
            self.greeted = true;
            return None;
        }
        let left = length_of(&head) - head.len();
        self.left = (left > 0).then_some(left);
        let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let method = (head[0] == 1 && head.len() >= METHOD).then(|| (number(7), number(9)));
        Some(Head { kind: head[0], channel: number(1), method })
    }

    fn length(&self) -> usize {
        length_of(&self.head)
    }
}

fn length_of(head: &[u8]) -> usize {
    HEAD + u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 1
}

pub const CHANNEL_OPEN: (u16, u16) = (20, 10);
pub const CHANNEL_CLOSE: (u16, u16) = (20, 40);
pub const CHANNEL_CLOSE_OK: (u16, u16) = (20, 41);
pub const CONFIRM_SELECT: (u16, u16) = (85, 10);
pub const BASIC_CONSUME: (u16, u16) = (60, 20);
pub const BASIC_ACK: (u16, u16) = (60, 80);

/// An ack of a delivery that never was: the broker closes the channel with 406, as it does after a double ack.
pub fn ack_of_nothing(channel: u16) -> Vec<u8> {
    let mut frame = vec![1];
    frame.extend(channel.to_be_bytes());
    frame.extend(13_u32.to_be_bytes());
    frame.extend([0, 60, 0, 80]);
    frame.extend(0xffff_ffff_u64.to_be_bytes());
    frame.extend([0, 0xce]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_however_the_bytes_come() {
        let heartbeat = [8, 0, 0, 0, 0, 0, 0, 0xce];
        let ack = ack_of_nothing(3);
        let stream = [&b"AMQP\0\0\x09\x01"[..], &heartbeat, &ack, &heartbeat, &ack].concat();
        for size in 1..stream.len() {
            let mut tracker = Tracker::greeting();
            let (mut heads, mut ends, mut at) = (Vec::new(), Vec::new(), 0);
            for mut piece in stream.chunks(size) {
                while !piece.is_empty() {
                    let (taken, head) = tracker.step(piece);
                    heads.extend(head);
                    at += taken;
                    piece = &piece[taken..];
                    if tracker.is_between_frames() {
                        ends.push(at);
                    }
                }
            }
            let beat = Head { kind: 8, channel: 0, method: None };
            let method = Head { kind: 1, channel: 3, method: Some(BASIC_ACK) };
            assert_eq!(heads, [beat, method, beat, method], "in pieces of {size}");
            assert_eq!(ends, [8, 16, 37, 45, 66], "in pieces of {size}");
        }
    }
}
