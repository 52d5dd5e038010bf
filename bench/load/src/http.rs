//! As much of an HTTP/1.1 client as a load needs: finds where an answer's head and body end.

use anyhow::{Context, Result, ensure};

/// The head of an answer.
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Bytes from the start of the answer to its body.
    pub(crate) length: usize,
    /// Bytes of the body; `None` where the end of the connection ends it.
    pub(crate) content_length: Option<usize>,
    pub(crate) content_range: Option<String>,
}

impl Head {
    /// Reads a head from the first bytes of an answer; `None` while it is not complete.
    ///
    /// # Errors
    /// When it is not an HTTP/1.x answer, or of a kind that this client does not read (chunked, over 16 KiB).
    pub(crate) fn read(answer: &[u8]) -> Result<Option<Self>> {
        let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            ensure!(
                answer.len() < 16 * 1024,
                "an answer without the end of its head"
            );
            return Ok(None);
        };
        let text = std::str::from_utf8(&answer[..end])?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        let mut head = Self {
            status: status.with_context(|| format!("not an HTTP answer: {first}"))?,
            length: end + 4,
            content_length: None,
            content_range: None,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.content_length = Some(value.parse()?);
            } else if name.eq_ignore_ascii_case("content-range") {
                head.content_range = Some(value.to_owned());
            }
            ensure!(
                !name.eq_ignore_ascii_case("transfer-encoding"),
                "a chunked answer: its length was to be named"
            );
        }
        Ok(Some(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_status_and_lengths_in_any_case() {
        let answer = b"HTTP/1.1 206 Partial Content\r\ncontent-LENGTH: 5\r\nContent-Range: bytes 0-4/9\r\n\r\nhello";
        let head = Head::read(answer).unwrap().unwrap();
        assert_eq!((head.status, head.content_length), (206, Some(5)));
        assert_eq!(head.content_range.as_deref(), Some("bytes 0-4/9"));
        assert_eq!(&answer[head.length..], b"hello");
    }

    #[test]
    fn waits_for_the_end_of_the_head() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert!((0..answer.len()).all(|cut| Head::read(&answer[..cut]).unwrap().is_none()));
        assert!(Head::read(answer).unwrap().is_some());
    }

    #[test]
    fn refuses_what_it_cannot_measure() {
        assert!(Head::read(b"SSH-2.0\r\n\r\n").is_err());
        assert!(Head::read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
