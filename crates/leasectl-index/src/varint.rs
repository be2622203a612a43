//! Numbers in as many bytes as they need (LEB128): seven bits each, the lowest first.

/// Appends `value`.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, value: u32) {
    let mut rest = value;
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

/// Takes the number at the start of `bytes`, and what follows it. None if there is none, or if it has
/// more than 32 bits.
pub(crate) fn take_varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        let bits = u32::from(byte & 0x7f);
        if index == 4 && bits > 0x0f {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_comes_back_and_what_follows_stays(value: u32, rest: [u8; 2]) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            bytes.extend(rest);
            prop_assert_eq!(take_varint(&bytes), Some((value, &rest[..])));
        }
    }

    #[test]
    fn a_number_that_does_not_end_or_fit_is_none() {
        assert_eq!(take_varint(&[]), None);
        assert_eq!(take_varint(&[0x80, 0x80]), None);
        assert_eq!(take_varint(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(take_varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]), None);
    }
}
