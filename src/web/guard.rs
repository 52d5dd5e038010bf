//! What stands before every page and API call: is the request for this server, and did one of our own pages send it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tower_http::set_header::SetResponseHeaderLayer;
use url::Host;

use super::error::WebError;
use super::links::Links;

/// No inline script or style, nothing from elsewhere, in nobody's frame.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// The names that this server answers to, besides IP addresses and loopback names.
#[derive(Clone, Debug)]
pub(super) struct Names(Arc<[String]>);

impl Names {
    /// The host of `public_url`, and what the operator names besides.
    pub(super) fn new(links: &Links, more: &[String]) -> Self {
        let public = links.host().to_string();
        Self(
            std::iter::once(&public)
                .chain(more)
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        )
    }

    /// Whether a request for `authority` (host and perhaps port) is for this server. An IP address always is: another site's
    /// name that leads here (DNS rebinding) is what must not be answered.
    fn include(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else {
            return false;
        };
        match host {
            Host::Ipv4(_) | Host::Ipv6(_) => true,
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                name == "localhost"
                    || name.ends_with(".localhost")
                    || self.0.iter().any(|ours| ours == name)
            }
        }
    }
}

fn host_of(authority: &str) -> Option<Host> {
    let authority: http::uri::Authority = authority.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host();
    let is_address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .is_ok();
    match Host::parse(host) {
        Ok(host @ (Host::Ipv4(_) | Host::Ipv6(_))) if is_address => Some(host),
        Ok(Host::Domain(name)) => Some(Host::Domain(name.to_ascii_lowercase())),
        // "0x7f.1" and its kind: an address that nobody writes in good faith.
        _ => None,
    }
}

/// Refuses requests for other servers (RFC 9110, section 15.5.20).
pub(super) async fn check_host(
    State(names): State<Names>,
    request: Request,
    next: Next,
) -> Response {
    match asked_host(request.uri(), request.headers()) {
        // HTTP/1.0 has no Host header.
        None if request.version() < http::Version::HTTP_11 => next.run(request).await,
        Some(host) if names.include(&host) => next.run(request).await,
        Some(host) => WebError::Misdirected(format!(
            "This server is not called {host:?}. Open it by the address in its public_url, or add the name to web.hosts in its configuration."
        ))
        .into_response(),
        None => WebError::Invalid("The request names no host. Send a Host header.".to_owned()).into_response(),
    }
}

/// The host that a request is for. A request line with a whole address overrules the header (RFC 9112, section 3.2.2).
fn asked_host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str().to_owned());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?.to_owned();
    hosts.next().is_none().then_some(host)
}

/// Refuses unsafe methods that another site's page sends. Programs, which send neither `Origin` nor `Sec-Fetch-Site`,
/// are let through: they carry no cookies of ours unless somebody gave them.
pub(super) fn csrf_layer(
    links: &Links,
) -> CsrfLayer<impl Fn(ProtectionError) -> Response + Clone + Send + Sync + 'static> {
    let layer = CsrfLayer::new();
    // `public_url` was checked to be an http(s) origin, which is all that can go wrong here; and the layer without it only asks for more.
    let layer = layer
        .clone()
        .add_trusted_origin(links.origin())
        .unwrap_or(layer);
    layer.with_rejection_response(|_| {
        WebError::Forbidden(
            "The request came from another site's page. Open this server's own page and try again."
                .to_owned(),
        )
        .into_response()
    })
}

/// Says to browsers, on every answer that does not say otherwise, what they may do with it.
pub(super) fn security_headers() -> [SetResponseHeaderLayer<HeaderValue>; 4] {
    let layer = |name: &'static str, value| {
        SetResponseHeaderLayer::if_not_present(HeaderName::from_static(name), value)
    };
    [
        layer("content-security-policy", CONTENT_SECURITY_POLICY),
        // Not `no-referrer`: browsers would then send forms with `Origin: null`, which looks like another site.
        layer("referrer-policy", HeaderValue::from_static("same-origin")),
        layer(
            "x-content-type-options",
            HeaderValue::from_static("nosniff"),
        ),
        layer(
            "cross-origin-opener-policy",
            HeaderValue::from_static("same-origin"),
        ),
    ]
}

/// Where to go after a log-in: a path on this server, and nothing that a browser could take for another host.
pub(super) fn safe_next(next: Option<&str>) -> &str {
    match next {
        Some(path)
            if path.starts_with('/')
                && !path.starts_with("//")
                && !path.contains(|c: char| c == '\\' || c.is_control()) =>
        {
            path
        }
        _ => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let links = Links::new(&"https://Files.Example.org/".parse().unwrap()).unwrap();
        Names::new(&links, &["sower".to_owned()])
    }

    #[test]
    fn answers_to_its_names_addresses_and_loopback() {
        for host in [
            "files.example.org",
            "FILES.example.org:8080",
            "files.example.org.",
            "sower:8080",
            "localhost:1",
            "sower.localhost",
            "127.0.0.1:8080",
            "192.0.2.7",
            "[::1]:8080",
        ] {
            assert!(names().include(host), "{host}");
        }
    }

    #[test]
    fn answers_to_nobody_elses_name() {
        for host in [
            "",
            "evil.example",
            "example.org",
            "xfiles.example.org",
            "files.example.org.evil.example",
            "user@files.example.org",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "0x7f.1",
            "a b",
        ] {
            assert!(!names().include(host), "{host}");
        }
    }

    #[test]
    fn a_log_in_leads_nowhere_else() {
        for path in ["/", "/publish", "/p/abcdefghij?x=//y"] {
            assert_eq!(safe_next(Some(path)), path);
        }
        for bad in [
            "",
            "publish",
            "//evil.example",
            "/\\evil.example",
            "\\/evil",
            "https://evil.example",
            "/a\nb",
            "/\t/evil.example",
        ] {
            assert_eq!(safe_next(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(safe_next(None), "/");
    }
}
