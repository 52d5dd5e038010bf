//! Where people report a publication: to whom the configuration names as the contact.

use url::Url;

use crate::web::links::encode_segment;

/// The address behind "Report": a letter to a mail address, which names the page, or another address as it is. `None` where the contact is
/// neither.
pub(super) fn report_address(contact: &str, page: &str) -> Option<String> {
    let contact = contact.trim();
    if let Ok(address) = Url::parse(contact) {
        let is_safe = matches!(address.scheme(), "http" | "https" | "mailto");
        return is_safe.then(|| address.into());
    }
    let (_, host) = contact.split_once('@')?;
    let is_one_word = !contact.contains(|letter: char| letter.is_whitespace() || letter == ',');
    let subject = encode_segment(&format!("Report: {page}"));
    let address = Url::parse(&format!("mailto:{contact}?subject={subject}")).ok()?;
    (is_one_word && !host.is_empty()).then(|| address.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_becomes_the_address_of_a_report() {
        let address = |contact| report_address(contact, "https://example.org/p/a");
        assert_eq!(
            address("abuse@example.org").as_deref(),
            Some("mailto:abuse@example.org?subject=Report%3A%20https%3A%2F%2Fexample.org%2Fp%2Fa")
        );
        let form = "https://example.org/contact";
        assert_eq!(address(form).as_deref(), Some(form));
        for none in [
            "",
            "Ada at the desk",
            "write to ada@example.org",
            "ada@",
            "javascript:alert(1)",
        ] {
            assert_eq!(address(none), None, "{none}");
        }
    }
}
