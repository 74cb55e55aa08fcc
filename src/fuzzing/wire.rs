//! What a peer sends: as it is, or cut into frames, because a random length hardly ever fits.

use super::input::Input;
use crate::transport::amqp::fuzzing::{check_stream, frame};

/// Any bytes are screened alike in any pieces, and what passes can be read.
pub fn wire(data: &[u8]) {
    let mut input = Input::new(data);
    let (is_raw, at_once) = (input.u8() % 4 == 0, input.at_once());
    if is_raw {
        check_stream(input.rest(), at_once);
        return;
    }
    let mut stream = Vec::new();
    while !input.is_empty() {
        let (kind, channel) = (input.u8(), u16::from(input.u8() % 3));
        let length = usize::from(input.u8()) * if kind & 4 == 0 { 1 } else { 4 };
        let kind = [1, 2, 3, 8][usize::from(kind % 4)];
        stream.extend(frame(kind, channel, input.bytes(length)));
    }
    check_stream(&stream, at_once);
}
