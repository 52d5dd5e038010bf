//! ZIP archives of stored members whose lengths are known beforehand (PKWARE APPNOTE 6.3.10), so that the archive's own length is known
//! and any stretch of it can be made by itself.
//!
//! Members are not compressed, names are UTF-8, and whatever does not fit into 32 bits is told by ZIP64. What an archive holds, in this
//! order: each member's [`local_header`] with its bytes behind it, the [`central_header`] of each member, the [`end`].

/// The longest number of 32 bits stands for "see ZIP64" (section 4.4.1.4).
const IN_ZIP64: u32 = u32::MAX;

/// What reading needs: ZIP64 (section 4.4.3.2).
const VERSION: u16 = 45;

/// Made on Unix, so that readers take the upper half of the external attributes for a mode (section 4.4.2).
const MADE_BY: u16 = 3 << 8 | VERSION;

/// A regular file that all may read and its owner may write.
const MODE: u32 = 0o100_644 << 16;

/// Names are UTF-8 (section 4.4.4, bit 11).
const FLAGS: u16 = 1 << 11;

const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
const END64_SIGNATURE: u32 = 0x0606_4b50;
const END64_LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
const ZIP64_FIELD: u16 = 1;

/// A file in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its path, with `/` between folders; at most 65,535 bytes, of which more are cut off.
    pub name: &'a str,
    /// Bytes in it.
    pub length: u64,
}

/// When members were last changed, as DOS had it: to two seconds, from 1980 to 2107.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DosTime {
    date: u16,
    time: u16,
}

impl DosTime {
    /// A date (year, month, day) and a time of day (hour, minute, second). What lies outside of 1980 to 2107 is moved to the nearer end.
    pub fn new(date: (i32, u8, u8), time: (u8, u8, u8)) -> Self {
        let year = u16::try_from(date.0.clamp(1980, 2107)).unwrap_or(1980);
        let [month, day] = [date.1, date.2].map(u16::from);
        let [hour, minute, second] = [time.0, time.1, time.2].map(u16::from);
        Self {
            date: year.saturating_sub(1980) << 9 | (month & 0xf) << 5 | day & 0x1f,
            time: (hour & 0x1f) << 11 | (minute & 0x3f) << 5 | second >> 1 & 0x1f,
        }
    }
}

impl Member<'_> {
    fn name(&self) -> &[u8] {
        let bytes = self.name.as_bytes();
        bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes)
    }

    /// Whether its length is told by ZIP64.
    fn is_long(&self) -> bool {
        short(self.length) == IN_ZIP64
    }

    fn name_length(&self) -> u64 {
        u64::try_from(self.name().len()).unwrap_or(u64::MAX)
    }

    /// Bytes of its [`local_header`].
    pub fn local_header_length(&self) -> u64 {
        let fixed = if self.is_long() { 50 } else { 30 };
        self.name_length().saturating_add(fixed)
    }

    /// Bytes of its [`central_header`], where its local header begins at `at` of the archive.
    pub fn central_header_length(&self, at: u64) -> u64 {
        let fixed = match (self.is_long(), short(at) == IN_ZIP64) {
            (false, false) => 46,
            (false, true) => 58,
            (true, false) => 66,
            (true, true) => 74,
        };
        self.name_length().saturating_add(fixed)
    }
}

/// What stands before a member's bytes (section 4.3.7).
pub fn local_header(member: Member<'_>, crc32: u32, modified: DosTime) -> Vec<u8> {
    let mut out = Fields::default();
    out.u32(LOCAL_SIGNATURE);
    out.common(member, crc32, modified);
    out.u16(if member.is_long() { 20 } else { 0 });
    out.bytes(member.name());
    if member.is_long() {
        out.u16(ZIP64_FIELD);
        out.u16(16);
        out.u64(member.length);
        out.u64(member.length);
    }
    out.0
}

/// A member's line in the directory behind all members (section 4.3.12). Its local header begins at `at` of the archive.
pub fn central_header(member: Member<'_>, crc32: u32, at: u64, modified: DosTime) -> Vec<u8> {
    let (is_long, is_far) = (member.is_long(), short(at) == IN_ZIP64);
    let zip64 = match (is_long, is_far) {
        (false, false) => None,
        (false, true) => Some((12, 8)),
        (true, false) => Some((20, 16)),
        (true, true) => Some((28, 24)),
    };
    let mut out = Fields::default();
    out.u32(CENTRAL_SIGNATURE);
    out.u16(MADE_BY);
    out.common(member, crc32, modified);
    out.u16(zip64.map_or(0, |(field, _)| field));
    // Comment, disk, internal attributes.
    for field in [0, 0, 0] {
        out.u16(field);
    }
    out.u32(MODE);
    out.u32(short(at));
    out.bytes(member.name());
    if let Some((_, numbers)) = zip64 {
        out.u16(ZIP64_FIELD);
        out.u16(numbers);
    }
    if is_long {
        out.u64(member.length);
        out.u64(member.length);
    }
    if is_far {
        out.u64(at);
    }
    out.0
}

/// What ends an archive of so many members, whose directory begins at `at` and has `length` bytes (sections 4.3.14 to 4.3.16).
pub fn end(members: u64, at: u64, length: u64) -> Vec<u8> {
    let mut out = Fields::default();
    if needs_zip64(members, at, length) {
        out.u32(END64_SIGNATURE);
        out.u64(44);
        out.u16(MADE_BY);
        out.u16(VERSION);
        // This disk, and that of the directory.
        out.u32(0);
        out.u32(0);
        for field in [members, members, length, at] {
            out.u64(field);
        }
        out.u32(END64_LOCATOR_SIGNATURE);
        out.u32(0);
        out.u64(at.saturating_add(length));
        out.u32(1);
    }
    out.u32(END_SIGNATURE);
    out.u16(0);
    out.u16(0);
    let few = u16::try_from(members).unwrap_or(u16::MAX);
    out.u16(few);
    out.u16(few);
    out.u32(short(length));
    out.u32(short(at));
    out.u16(0);
    out.0
}

/// Bytes of such an [`end`].
pub fn end_length(members: u64, at: u64, length: u64) -> u64 {
    if needs_zip64(members, at, length) {
        98
    } else {
        22
    }
}

fn needs_zip64(members: u64, at: u64, length: u64) -> bool {
    members >= u64::from(u16::MAX) || short(at) == IN_ZIP64 || short(length) == IN_ZIP64
}

/// A number where it fits, or what says that it does not.
fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(IN_ZIP64)
}

/// Numbers, the lowest byte first.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    /// What both headers of a member have in common, up to the length of its name.
    fn common(&mut self, member: Member<'_>, crc32: u32, modified: DosTime) {
        self.u16(VERSION);
        self.u16(FLAGS);
        // Stored.
        self.u16(0);
        self.u16(modified.time);
        self.u16(modified.date);
        self.u32(crc32);
        self.u32(short(member.length));
        self.u32(short(member.length));
        self.u16(u16::try_from(member.name().len()).unwrap_or(u16::MAX));
    }

    fn u16(&mut self, number: u16) {
        self.bytes(&number.to_le_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.bytes(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: DosTime = DosTime {
        date: 0x5b77,
        time: 0x6000,
    };

    fn member(name: &str, length: u64) -> Member<'_> {
        Member { name, length }
    }

    #[test]
    fn times_are_those_of_dos() {
        assert_eq!(DosTime::new((2025, 11, 23), (12, 0, 1)), NOON);
        let earliest = DosTime::new((1970, 1, 1), (0, 0, 0));
        assert_eq!(earliest.date, 1 << 5 | 1);
        let latest = DosTime::new((3000, 12, 31), (23, 59, 59));
        assert_eq!((latest.date >> 9, latest.time), (127, 0xbf7d));
    }

    #[test]
    fn a_small_archive_is_the_one_that_python_writes() {
        // zipfile of Python 3.11, with the same date, mode and versions.
        let (a, crc) = (member("ä.txt", 3), 0x3524_41c2);
        let mut archive = local_header(a, crc, NOON);
        archive.extend(b"abc");
        let at = archive.len() as u64;
        archive.extend(central_header(a, crc, 0, NOON));
        let length = archive.len() as u64 - at;
        archive.extend(end(1, at, length));
        assert_eq!(
            data_encoding::HEXLOWER.encode(&archive),
            "504b03042d00000800000060775bc2412435030000000300000006000000c3a42e747874616263504b01022d032d00000800\
             000060775bc24124350300000003000000060000000000000000000000a48100000000c3a42e747874504b05060000000001\
             00010034000000270000000000"
        );
    }

    proptest! {
        #[test]
        fn lengths_are_foretold(
            name in "[a-zä/]{1,40}",
            length in prop_oneof![0_u64..10, 4_294_967_290_u64..4_294_967_300, any::<u64>()],
            at in prop_oneof![0_u64..10, 4_294_967_290_u64..4_294_967_300, any::<u64>()],
            members in prop_oneof![0_u64..10, 65_530_u64..65_540],
        ) {
            let it = member(&name, length);
            prop_assert_eq!(local_header(it, 7, NOON).len() as u64, it.local_header_length());
            prop_assert_eq!(central_header(it, 7, at, NOON).len() as u64, it.central_header_length(at));
            prop_assert_eq!(end(members, at, length).len() as u64, end_length(members, at, length));
        }
    }

    #[test]
    fn what_does_not_fit_is_told_by_zip64() {
        let long = member("x", u64::from(u32::MAX));
        let header = local_header(long, 7, NOON);
        assert_eq!(header[18..26], [0xff; 8]);
        assert_eq!(header[31..35], [1, 0, 16, 0]);
        assert_eq!(header[35..43], u64::from(u32::MAX).to_le_bytes());
        assert_eq!(end(65_534, 1, 1).len(), 22);
        let many = end(65_535, 1, 1);
        assert_eq!(many[..4], *b"PK\x06\x06");
        assert_eq!(many[32..40], 65_535_u64.to_le_bytes());
        assert_eq!(many[many.len() - 22 + 8..many.len() - 22 + 12], [0xff; 4]);
    }
}
