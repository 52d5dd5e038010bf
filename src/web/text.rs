//! How pages write sizes, numbers and times.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use humansize::{DECIMAL, FormatSizeOptions, format_size};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::proto::zip::DosTime;

/// A size as people say it: `8.1 GB`. Decimal, as disks and providers count.
pub(super) fn size(bytes: u64) -> String {
    let options = FormatSizeOptions::from(DECIMAL).decimal_places(1);
    format_size(bytes, options).replace(".0 ", " ")
}

/// A number with its thousands apart: `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 file`, `12 files`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        grouped(number),
        if number == 1 { one } else { many }
    )
}

/// A day as people say it: `23 November 2026`. The day is UTC's.
pub(super) fn day(unix: i64) -> String {
    let time = at(unix);
    format!("{} {} {}", time.day(), time.month(), time.year())
}

/// The year and the number of the month, UTC's.
pub(super) fn year_and_month(unix: i64) -> (i32, u8) {
    let time = at(unix);
    (time.year(), time.month().into())
}

/// A time as machines read it (RFC 3339), UTC.
pub(super) fn machine_time(unix: i64) -> String {
    at(unix).format(&Rfc3339).unwrap_or_default()
}

/// A time as HTTP writes it (RFC 9110, section 5.6.7).
pub(super) fn http_time(unix: i64) -> String {
    let since_1970 = Duration::from_secs(unix.try_into().unwrap_or(0));
    httpdate::fmt_http_date(UNIX_EPOCH + since_1970)
}

/// A time as archives have it, UTC.
pub(super) fn dos_time(unix: i64) -> DosTime {
    let time = at(unix);
    let date = (time.year(), time.month().into(), time.day());
    DosTime::new(date, (time.hour(), time.minute(), time.second()))
}

/// The first line of a text, cut at a word where it has more characters than `most`.
pub(super) fn excerpt(text: &str, most: usize) -> String {
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty());
    cut(line.unwrap_or_default(), most)
}

/// A text, cut at a word where it has more characters than `most`.
pub(super) fn cut(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else {
        return text.to_owned();
    };
    let cut = text.get(..end).unwrap_or_default();
    let cut = cut
        .rsplit_once(char::is_whitespace)
        .map_or(cut, |(words, _)| words);
    format!("{cut} …")
}

/// A name as a page shows it: characters that turn the reading direction are spelled out, so that `gpj.exe` does not
/// read as `exe.jpg`.
pub(super) fn shown(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                // Writing to a string cannot fail.
                let _ = write!(shown, "[U+{:04X}]", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_at_most() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (12_345, "12.3 kB"),
            (8_100_000_000, "8.1 GB"),
            (58_000_000_000, "58 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "file", "files"), "1 file");
        assert_eq!(counted(2, "file", "files"), "2 files");
    }

    #[test]
    fn a_name_cannot_turn_itself_around() {
        assert_eq!(shown("photo\u{202e}gpj.exe"), "photo[U+202E]gpj.exe");
        assert_eq!(shown("שלום.txt"), "שלום.txt");
    }

    #[test]
    fn an_excerpt_is_one_line_cut_at_a_word() {
        assert_eq!(excerpt("\n  First line. \nSecond.", 180), "First line.");
        let long = "ärger ".repeat(60);
        let short = excerpt(&long, 180);
        assert!(short.ends_with("ärger …") && short.chars().count() <= 182);
        assert_eq!(excerpt("", 180), "");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(day(1_795_392_000), "23 November 2026");
        assert_eq!(machine_time(0), "1970-01-01T00:00:00Z");
    }
}
