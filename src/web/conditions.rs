//! What a request asks of bytes that never change, and the head of the answer (RFC 9110, sections 13 and 14). There are no dates: strong
//! entity tags are all that is known. Many ranges in one request are answered with the whole, which every client copes with.

use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, ETAG,
    IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::error::WebError;
use super::media::header_value;
use crate::proto::range::{self, RangeOutcome};

/// A file's content under its address never changes.
pub(super) const FOR_EVER: HeaderValue =
    HeaderValue::from_static("public, max-age=31536000, immutable");

/// The head of an answer.
pub(super) enum Begun {
    /// It is all of it.
    Done(Response),
    /// These bytes follow, and their type is not said yet.
    Bytes(Response, Range<u64>),
}

/// Begins an answer of published bytes: nothing in them can run on this site.
pub(super) fn begin(
    method: &Method,
    asked: &HeaderMap,
    etag: &str,
    length: u64,
) -> Result<Begun, WebError> {
    let outcome = evaluate(method, asked, etag, length)?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(ETAG, header_value(etag));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; frame-ancestors 'none'"),
    );
    let span = match outcome {
        Outcome::NotModified => {
            headers.insert(CACHE_CONTROL, FOR_EVER);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(Begun::Done(response));
        }
        Outcome::Unsatisfiable => {
            headers.insert(CONTENT_RANGE, header_value(&format!("bytes */{length}")));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok(Begun::Done(response));
        }
        Outcome::Part(span) => {
            let last = span.end.saturating_sub(1);
            headers.insert(
                CONTENT_RANGE,
                header_value(&format!("bytes {}-{last}/{length}", span.start)),
            );
            span
        }
        Outcome::Whole => 0..length,
    };
    headers.insert(CACHE_CONTROL, FOR_EVER);
    headers.insert(
        CONTENT_LENGTH,
        HeaderValue::from(span.end.saturating_sub(span.start)),
    );
    if headers.contains_key(CONTENT_RANGE) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(Begun::Bytes(response, span))
}

/// What a request asks of a file, its conditions weighed.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
    NotModified,
}

/// Weighs the conditions in the order of RFC 9110, section 13.2.2. There are no dates: entity tags are all that is
/// known of a file.
fn evaluate(
    method: &Method,
    asked: &HeaderMap,
    etag: &str,
    length: u64,
) -> Result<Outcome, WebError> {
    if asked.contains_key(IF_MATCH) && !matches(asked, &IF_MATCH, |tag| tag == etag) {
        return Err(WebError::PreconditionFailed(
            "The file is another one than you asked for. Ask again without a precondition."
                .to_owned(),
        ));
    }
    if is_at_hand(asked, etag) {
        return Ok(Outcome::NotModified);
    }
    // RFC 9110, section 14.2: a range is only defined for GET.
    let Some(wanted) = asked.get(RANGE).filter(|_| method == Method::GET) else {
        return Ok(Outcome::Whole);
    };
    let is_same = asked
        .get(IF_RANGE)
        .is_none_or(|tag| tag.as_bytes() == etag.as_bytes());
    if !is_same {
        return Ok(Outcome::Whole);
    }
    Ok(match range::parse(wanted.as_bytes(), length) {
        RangeOutcome::NotSatisfiable => Outcome::Unsatisfiable,
        RangeOutcome::Ranges(ranges) => match ranges.as_slice() {
            [only] => Outcome::Part(only.first..only.first.saturating_add(only.length())),
            _ => Outcome::Whole,
        },
        RangeOutcome::Whole => Outcome::Whole,
    })
}

/// Whether whoever asks has what an entity tag stands for already.
pub(super) fn is_at_hand(asked: &HeaderMap, etag: &str) -> bool {
    // If-None-Match compares weakly: W/"x" is as good as "x".
    matches(asked, &IF_NONE_MATCH, |tag| {
        tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// Whether a list of entity tags holds one that fits, or is `*`.
pub(super) fn matches(asked: &HeaderMap, name: &HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    asked
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || fits(tag))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    const TAG: &str = "\"abc\"";

    fn ask(method: &Method, headers: &[(HeaderName, &str)]) -> Result<Outcome, u16> {
        let mut asked = HeaderMap::new();
        for (name, value) in headers {
            asked.append(name.clone(), value.parse().unwrap());
        }
        evaluate(method, &asked, TAG, 10).map_err(|error| error.into_response().status().as_u16())
    }

    #[test]
    fn a_range_is_only_for_get() {
        let range = [(RANGE, "bytes=2-4")];
        assert_eq!(ask(&Method::GET, &range), Ok(Outcome::Part(2..5)));
        assert_eq!(ask(&Method::HEAD, &range), Ok(Outcome::Whole));
    }

    #[test]
    fn if_range_needs_the_very_same_strong_tag() {
        let with = |tag| [(RANGE, "bytes=2-4"), (IF_RANGE, tag)];
        assert_eq!(ask(&Method::GET, &with(TAG)), Ok(Outcome::Part(2..5)));
        for tag in ["\"abd\"", "W/\"abc\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(ask(&Method::GET, &with(tag)), Ok(Outcome::Whole), "{tag}");
        }
    }

    #[test]
    fn conditions_are_weighed_before_the_range() {
        for tag in [TAG, "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            let headers = [(IF_NONE_MATCH, tag), (RANGE, "bytes=2-4")];
            assert_eq!(
                ask(&Method::GET, &headers),
                Ok(Outcome::NotModified),
                "{tag}"
            );
        }
        assert_eq!(ask(&Method::GET, &[(IF_MATCH, "\"x\"")]), Err(412));
        assert_eq!(ask(&Method::GET, &[(IF_MATCH, "W/\"abc\"")]), Err(412));
        assert_eq!(ask(&Method::GET, &[(IF_MATCH, TAG)]), Ok(Outcome::Whole));
    }
}
