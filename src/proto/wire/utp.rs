//! What packets of uTP look like beside those of a UDP tracker (BEP 29, BEP 15).

/// Bytes of the shortest packet: its header alone.
const HEADER_LENGTH: usize = 20;

/// Whether a packet is one of uTP: a version of 1 in the low half of its first byte, and one of five types in the high half.
///
/// What UDP trackers are asked begins with a connection id: a magic number that begins with zero, or one that the tracker has given, which it must choose
/// so that it looks otherwise.
pub const fn is_utp(packet: &[u8]) -> bool {
    match packet {
        [first, ..] => *first & 0x0f == 1 && *first < 0x50 && packet.len() >= HEADER_LENGTH,
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_types_of_version_one_are_utp() {
        for first in 0..=u8::MAX {
            let is_one = [0x01, 0x11, 0x21, 0x31, 0x41].contains(&first);
            assert_eq!(is_utp(&[first; 20]), is_one, "{first:#x}");
            assert!(!is_utp(&[first; 19]));
        }
        assert!(!is_utp(b""));
    }

    #[test]
    fn a_trackers_first_question_is_not_utp() {
        assert!(!is_utp(
            b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x12\x34\x56\x78\0\0\0\0"
        ));
    }
}
