//! Values out of random bytes; when they are used up, everything is zero or empty.

use crate::limits::DEPTH_MAX;
use crate::message::{Properties, Publication, Table, Value};

pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Input(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    fn u64(&mut self) -> u64 {
        self.bytes(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub fn flag(&mut self) -> bool {
        self.u8() % 2 == 1
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.u8()) % choices.len()]
    }

    /// How much a stream hands over at once.
    pub fn at_once(&mut self) -> usize {
        usize::from(self.u8()) + 1
    }

    /// At most 255 bytes, or three times as many when they were no UTF-8.
    pub fn text(&mut self) -> String {
        let length = usize::from(self.u8());
        String::from_utf8_lossy(self.bytes(length)).into_owned()
    }

    pub fn table(&mut self, depth: usize) -> Table {
        (0..self.u8() % 8).map(|_| (self.text(), self.value(depth))).collect()
    }

    /// Any value, down to a little more than what is allowed.
    pub fn value(&mut self, depth: usize) -> Value {
        let is_deep = depth > DEPTH_MAX + 2;
        match self.u8() % 17 {
            1 => Value::Bool(self.flag()),
            2 => Value::I8(self.u8() as i8),
            3 => Value::U8(self.u8()),
            4 => Value::I16(self.u16() as i16),
            5 => Value::U16(self.u16()),
            6 => Value::I32(self.u64() as i32),
            7 => Value::U32(self.u64() as u32),
            8 => Value::I64(self.u64() as i64),
            9 => Value::F32(f32::from_bits(self.u64() as u32)),
            10 => Value::F64(f64::from_bits(self.u64())),
            11 => Value::Decimal { scale: self.u8(), value: self.u64() as u32 },
            12 => Value::Text(self.text()),
            13 => {
                let length = usize::from(self.u8());
                Value::Bytes(self.bytes(length).to_vec())
            }
            14 => Value::Timestamp(self.u64()),
            15 if !is_deep => Value::Array((0..self.u8() % 8).map(|_| self.value(depth + 1)).collect()),
            16 if !is_deep => Value::Table(self.table(depth + 1)),
            _ => Value::Null,
        }
    }

    fn maybe<T>(&mut self, what: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| what(self))
    }

    pub fn properties(&mut self) -> Properties {
        Properties {
            content_type: self.maybe(Input::text),
            content_encoding: self.maybe(Input::text),
            headers: self.maybe(|input| input.table(1)),
            delivery_mode: self.maybe(Input::u8),
            priority: self.maybe(Input::u8),
            correlation_id: self.maybe(Input::text),
            reply_to: self.maybe(Input::text),
            expiration: self.maybe(Input::text),
            message_id: self.maybe(Input::text),
            timestamp: self.maybe(Input::u64),
            kind: self.maybe(Input::text),
            user_id: self.maybe(Input::text),
            app_id: self.maybe(Input::text),
            cluster_id: self.maybe(Input::text),
        }
    }

    pub fn publication(&mut self) -> Publication {
        Publication::new(self.text(), self.text(), "abc").with(self.properties())
    }
}
