//! The heads of those HTTP/1.1 messages that need no more than a head (RFC 9112): pure functions on bytes.
//!
//! Only what is plain is read here: a GET or HEAD in origin form, without a body and without a wish to change the
//! protocol. Everything else, malformed heads too, is [`Reading::NotPlain`] and left to hyper.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use httpdate::HttpDate;

/// Header fields in a plain head, at most.
const MAX_FIELDS: usize = 64;

/// What the bytes at the start of a connection are.
#[derive(Debug)]
pub(super) enum Reading<'b> {
    /// The beginning of a head.
    Part,
    /// Something that is not for us.
    NotPlain,
    /// A request.
    Plain(PlainHead<'b>),
}

/// A request that is all head.
#[derive(Debug)]
pub(super) struct PlainHead<'b> {
    /// Bytes of the head, the empty line counted.
    pub(super) length: usize,
    /// GET or HEAD.
    pub(super) method: Method,
    /// What follows the method: the path, and the query behind its `?`. Begins with `/`.
    pub(super) target: &'b str,
    /// Whether the connection ends with the answer.
    pub(super) closes: bool,
    fields: Vec<(&'b str, &'b [u8])>,
}

impl<'b> PlainHead<'b> {
    /// The target's path, and its query where it has one.
    pub(super) fn path_and_query(&self) -> (&'b str, Option<&'b str>) {
        match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target, None),
        }
    }

    /// The values of the fields of a name, in their order.
    pub(super) fn lines<'h>(
        &'h self,
        name: &'static str,
    ) -> impl DoubleEndedIterator<Item = &'b [u8]> + use<'h, 'b> {
        let named = self.fields.iter();
        named
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// The header fields; `None` where one is not valid.
    pub(super) fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for (name, value) in &self.fields {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_bytes(value).ok()?);
        }
        Some(headers)
    }
}

/// Reads the head at the start of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Reading<'_> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Reading::Part,
        Err(_) => return Reading::NotPlain,
    };
    let method = match request.method {
        Some("GET") => Method::GET,
        Some("HEAD") => Method::HEAD,
        _ => return Reading::NotPlain,
    };
    let Some(target) = request
        .path
        .filter(|target| target.starts_with('/') && !target.contains('#'))
    else {
        return Reading::NotPlain;
    };
    let mut asks_to_close = None;
    for field in &*request.headers {
        if is(field, &CONNECTION) {
            asks_to_close = match field.value {
                value if value.eq_ignore_ascii_case(b"close") => Some(true),
                value if value.eq_ignore_ascii_case(b"keep-alive") => Some(false),
                _ => return Reading::NotPlain,
            };
        }
        let leads_elsewhere = [&CONTENT_LENGTH, &TRANSFER_ENCODING, &EXPECT, &UPGRADE];
        if leads_elsewhere.into_iter().any(|name| is(field, name)) {
            return Reading::NotPlain;
        }
    }
    let is_old = request.version == Some(0);
    if is_old && asks_to_close == Some(false) {
        return Reading::NotPlain;
    }
    Reading::Plain(PlainHead {
        length,
        method,
        target,
        closes: is_old || asks_to_close == Some(true),
        fields: request
            .headers
            .iter()
            .map(|field| (field.name, field.value))
            .collect(),
    })
}

fn is(field: &httparse::Header<'_>, name: &HeaderName) -> bool {
    field.name.eq_ignore_ascii_case(name.as_str())
}

/// Appends the head of an answer of `unix_now`, seconds since 1970. `length` is that of the body, where one follows or
/// would follow a GET.
pub(super) fn write(
    out: &mut Vec<u8>,
    status: StatusCode,
    headers: &HeaderMap,
    length: Option<u64>,
    closes: bool,
    unix_now: i64,
) {
    let now = UNIX_EPOCH + Duration::from_secs(unix_now.try_into().unwrap_or_default());
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = format!(
        "HTTP/1.1 {} {reason}\r\ndate: {}\r\n",
        status.as_u16(),
        HttpDate::from(now)
    );
    if let Some(length) = length {
        let _ = write!(text, "content-length: {length}\r\n");
    }
    if closes {
        text.push_str("connection: close\r\n");
    }
    out.extend_from_slice(text.as_bytes());
    for (name, value) in headers {
        if *name == CONTENT_LENGTH {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> Option<PlainHead<'_>> {
        match read(text.as_bytes()) {
            Reading::Plain(head) => Some(head),
            _ => None,
        }
    }

    #[test]
    fn a_plain_request_is_read_to_its_end() {
        let text = "GET /announce?a=%00b HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\nGET /next";
        let head = plain(text).unwrap();
        assert_eq!(&text[head.length..], "GET /next");
        assert_eq!(head.path_and_query(), ("/announce", Some("a=%00b")));
        assert_eq!(head.headers().unwrap()["range"], "bytes=0-1");
        assert!(!head.closes);
    }

    #[test]
    fn the_connection_ends_where_the_client_says_so_or_is_old() {
        for (text, closes) in [
            ("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", true),
        ] {
            assert_eq!(plain(text).unwrap().closes, closes, "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_hyper() {
        for text in [
            "POST /files/x HTTP/1.1\r\n\r\n",
            "OPTIONS /web-seed/x HTTP/1.1\r\n\r\n",
            "GET http://host/announce HTTP/1.1\r\n\r\n",
            "GET * HTTP/1.1\r\n\r\n",
            "GET /a#b HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n folded: x\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "\u{13}BitTorrent protocol",
        ] {
            assert!(
                matches!(read(text.as_bytes()), Reading::NotPlain),
                "{text:?}"
            );
        }
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "a: b\r\n".repeat(MAX_FIELDS + 1)
        );
        assert!(matches!(read(many.as_bytes()), Reading::NotPlain));
    }

    #[test]
    fn an_answer_says_its_length_once() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        headers.insert("etag", HeaderValue::from_static("\"x\""));
        let mut out = Vec::new();
        write(
            &mut out,
            StatusCode::OK,
            &headers,
            Some(7),
            true,
            784_111_777,
        );
        assert_eq!(
            out.escape_ascii().to_string().replace("\\r\\n", "|"),
            "HTTP/1.1 200 OK|date: Sun, 06 Nov 1994 08:49:37 GMT|content-length: 7|connection: close|etag: \\\"x\\\"||"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_confuse_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..40_usize) {
            let mut whole = b"GET /announce?x HTTP/1.1\r\nHost: a\r\n".to_vec();
            whole.truncate(cut);
            whole.extend(bytes);
            if let Reading::Plain(head) = read(&whole) {
                prop_assert!(head.length <= whole.len() && whole[..head.length].ends_with(b"\n"));
            }
        }
    }
}
