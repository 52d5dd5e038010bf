//! Tags: short words under which publications are found together. One tag has one form, however people type it.

use unicode_normalization::UnicodeNormalization;

/// Brings a tag into its form: composed (NFC), in lower case, with single spaces, without signs of hash in front. Empty where nothing is
/// left of it.
pub fn tidy(text: &str) -> String {
    let words: String = text.nfc().flat_map(char::to_lowercase).nfc().collect();
    let words = words.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ").trim_start_matches(['#', ' ']).to_owned()
}

/// The tags in a line that a person typed, with commas between them.
pub fn split(line: &str) -> Vec<String> {
    let tags = line.split(',').map(str::trim);
    tags.filter(|tag| !tag.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_one_form() {
        for (text, tag) in [
            ("soil", "soil"),
            ("  Soil  Survey\t2026 ", "soil survey 2026"),
            ("#Soil", "soil"),
            ("# soil", "soil"),
            ("BO\u{308}DEN", "böden"),
            ("c#", "c#"),
            ("a\0b", "a b"),
            ("#", ""),
            ("", ""),
        ] {
            assert_eq!(tidy(text), tag, "{text:?}");
            assert_eq!(tidy(tag), tag, "{text:?}");
        }
    }

    #[test]
    fn commas_stand_between_tags() {
        assert_eq!(
            split("soil, marshes of the Elbe,,x "),
            ["soil", "marshes of the Elbe", "x"]
        );
        assert_eq!(split(" , "), [""; 0]);
    }
}
