//! Numbers in as few bits as their range needs, most significant bit first.

/// Appends bits to bytes.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    /// Continues after `bytes`.
    pub(super) fn after(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            pending: 0,
            pending_bits: 0,
        }
    }

    /// The lowest `width` bits of `value`, at most 32 of them; the others must be zero.
    #[inline]
    pub(super) fn put(&mut self, value: u32, width: u32) {
        self.pending = self.pending << width | u64::from(value);
        self.pending_bits += width;
        if self.pending_bits >= 32 {
            self.pending_bits -= 32;
            let [.., a, b, c, d] = (self.pending >> self.pending_bits).to_be_bytes();
            self.bytes.extend([a, b, c, d]);
        }
    }

    /// A number below `count`, in ⌊log₂ count⌋ bits or one more (a truncated binary code).
    #[inline]
    pub(super) fn put_below(&mut self, value: u32, count: u32) {
        let width = count.ilog2();
        let short = (2 << width) - count;
        if value < short {
            self.put(value, width);
        } else {
            self.put(value + short, width + 1);
        }
    }

    /// A number from 1 to 65,535, in 2⌊log₂ value⌋ + 1 bits (Elias' γ code).
    #[inline]
    pub(super) fn put_gamma(&mut self, value: u32) {
        // The zeros that say how long it is stand before its highest bit.
        self.put(value, 2 * value.ilog2() + 1);
    }

    /// The bytes, the last one filled up with zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let whole = self.pending << ((64 - self.pending_bits) % 64);
        let length = self.pending_bits.div_ceil(8) as usize;
        self.bytes.extend(&whole.to_be_bytes()[..length]);
        self.bytes
    }
}

/// Takes bits off bytes. Beyond the end it reads zeros and remembers that it did.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    pending: u64,
    pending_bits: u32,
    overdrawn: bool,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            pending: 0,
            pending_bits: 0,
            overdrawn: false,
        }
    }

    /// The next `width` bits, at most 32.
    #[expect(clippy::cast_possible_truncation, reason = "masked to 32 bits")]
    #[inline]
    pub(super) fn take(&mut self, width: u32) -> u32 {
        while self.pending_bits < width {
            self.refill();
        }
        self.pending_bits -= width;
        (self.pending >> self.pending_bits & ((1 << width) - 1)) as u32
    }

    /// What [`BitWriter::put_below`] wrote for the same `count`.
    #[inline]
    pub(super) fn take_below(&mut self, count: u32) -> u32 {
        let width = count.ilog2();
        let short = (2 << width) - count;
        let value = self.take(width);
        if value < short {
            value
        } else {
            (value << 1 | self.take(1)) - short
        }
    }

    /// What [`BitWriter::put_gamma`] wrote; none if it is larger than 16 bits.
    #[inline]
    pub(super) fn take_gamma(&mut self) -> Option<u32> {
        if self.take(1) == 1 {
            return Some(1);
        }
        let mut width = 1;
        while self.take(1) == 0 {
            width += 1;
            if width > 15 || self.overdrawn {
                return None;
            }
        }
        Some(1 << width | self.take(width))
    }

    /// Whether exactly everything was read, but for zeros that fill the last byte.
    pub(super) fn is_finished(&self) -> bool {
        let rest = self.pending & ((1 << self.pending_bits) - 1);
        !self.overdrawn && self.bytes.is_empty() && self.pending_bits < 8 && rest == 0
    }

    /// Whether more was read than there is.
    pub(super) const fn is_overdrawn(&self) -> bool {
        self.overdrawn
    }

    fn refill(&mut self) {
        if let Some((four, rest)) = self.bytes.split_first_chunk::<4>() {
            self.pending = self.pending << 32 | u64::from(u32::from_be_bytes(*four));
            self.pending_bits += 32;
            self.bytes = rest;
        } else if let Some((byte, rest)) = self.bytes.split_first() {
            self.pending = self.pending << 8 | u64::from(*byte);
            self.pending_bits += 8;
            self.bytes = rest;
        } else {
            self.pending <<= 8;
            self.pending_bits += 8;
            self.overdrawn = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((0u32..65_536, 1u32..65_537), 0..200)) {
            let mut writer = BitWriter::default();
            for (value, count) in &numbers {
                writer.put_below(value % count, *count);
                writer.put_gamma(*count % 65_535 + 1);
            }
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for (value, count) in &numbers {
                prop_assert_eq!(reader.take_below(*count), value % count);
                prop_assert_eq!(reader.take_gamma(), Some(*count % 65_535 + 1));
            }
            prop_assert!(reader.is_finished());
        }
    }

    #[test]
    fn reading_beyond_the_end_is_noticed() {
        let mut reader = BitReader::new(&[0]);
        assert_eq!(reader.take(8), 0);
        assert!(reader.is_finished());
        assert_eq!(reader.take_gamma(), None);
        assert!(reader.is_overdrawn() && !reader.is_finished());
    }
}
