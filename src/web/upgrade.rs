//! How an HTTP connection becomes the WebSocket of a peer (RFC 6455, section 4.2).

use std::collections::HashSet;
use std::net::IpAddr;

use axum::body::Body;
use http::header::{ORIGIN, RETRY_AFTER, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::domain::networks::household;
use crate::engine::limits::{Connections, Place};
use crate::tracker::ws::Options;

/// Seconds after which to try again where there is no room.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("60");

/// Lets peers in that speak WebSocket.
#[derive(Clone)]
pub(super) struct Upgrades {
    places: Connections,
    /// The pages that may bring their readers here; all where there is none.
    origins: HashSet<String>,
}

/// A connection that becomes a WebSocket once its answer is sent, and its place among them.
pub(super) struct Upgrade {
    pub(super) stream: OnUpgrade,
    pub(super) place: Place,
}

impl Upgrades {
    /// `own` is the origin of this server's own pages.
    pub(super) fn new(options: &Options, own: &str) -> Self {
        let own = (!options.origins.is_empty()).then(|| own.to_owned());
        let origins = options.origins.iter().cloned().chain(own);
        Self {
            places: Connections::new(options.sockets, options.sockets_per_address),
            origins: origins.map(|it| it.to_ascii_lowercase()).collect(),
        }
    }

    /// Answers a request that came from `source` and wants a WebSocket.
    pub(super) fn answer<B>(
        &self,
        mut request: Request<B>,
        source: IpAddr,
    ) -> (Response<Body>, Option<Upgrade>) {
        if !self.allows(request.headers().get(ORIGIN)) {
            let words = "This tracker is not for pages of other sites. Its administrator can allow them with tracker.websocket.origins.\n";
            return (refusal(StatusCode::FORBIDDEN, words), None);
        }
        let Ok(response) = create_response_with_body(&request, Body::empty) else {
            let words = "This is no WebSocket handshake of RFC 6455.\n";
            return (refusal(StatusCode::BAD_REQUEST, words), None);
        };
        let Some(place) = self.places.enter(household(source)) else {
            let words = "There are too many connections to this tracker, or from your address. Try again later.\n";
            let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, words);
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
            return (response, None);
        };
        let stream = hyper::upgrade::on(&mut request);
        (response, Some(Upgrade { stream, place }))
    }

    /// Programs name no origin.
    fn allows(&self, origin: Option<&HeaderValue>) -> bool {
        let Some(origin) = origin else {
            return true;
        };
        self.origins.is_empty()
            || origin
                .to_str()
                .is_ok_and(|origin| self.origins.contains(&origin.to_ascii_lowercase()))
    }
}

/// Whether a request wants its connection to become a WebSocket.
pub(super) fn is_wanted<B>(request: &Request<B>) -> bool {
    let wanted = request.headers().get(UPGRADE);
    request.method() == Method::GET
        && wanted.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn refusal(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(words));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(options: &Options, origin: Option<&str>) -> StatusCode {
        let upgrades = Upgrades::new(options, "https://files.example.org");
        let mut request = Request::get("/announce")
            .header("Connection", "keep-alive, Upgrade")
            .header("Upgrade", "WebSocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        let request = request.body(()).unwrap();
        assert!(is_wanted(&request));
        let (response, _) = upgrades.answer(request, [127, 0, 0, 1].into());
        response.status()
    }

    #[test]
    fn the_origin_counts_where_some_are_listed() {
        let all = Options::default();
        let some = Options {
            origins: vec!["https://Other.example".to_owned()],
            ..Options::default()
        };
        let (yes, no) = (StatusCode::SWITCHING_PROTOCOLS, StatusCode::FORBIDDEN);
        for (options, origin, status) in [
            (&all, Some("https://anybody.example"), yes),
            (&all, None, yes),
            (&some, None, yes),
            (&some, Some("https://other.example"), yes),
            (&some, Some("https://files.example.org"), yes),
            (&some, Some("https://anybody.example"), no),
            (&some, Some("null"), no),
        ] {
            assert_eq!(asks(options, origin), status, "{origin:?}");
        }
    }

    #[test]
    fn a_handshake_is_held_to_its_rules() {
        let upgrades = Upgrades::new(&Options::default(), "http://localhost");
        let request = Request::get("/announce").header("Upgrade", "websocket");
        let (response, upgrade) = upgrades.answer(request.body(()).unwrap(), [127, 0, 0, 1].into());
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(upgrade.is_none());
    }

    #[test]
    fn the_key_is_answered_as_the_rfc_shows() {
        let request = Request::get("/announce")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let upgrades = Upgrades::new(&Options::default(), "http://localhost");
        let (response, _) = upgrades.answer(request.body(()).unwrap(), [127, 0, 0, 1].into());
        assert_eq!(
            response.headers()["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn a_household_is_one_address() {
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let other: IpAddr = "2001:db8::ffff:0:0:2".parse().unwrap();
        let stranger: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        assert_eq!(household(one), household(other));
        assert_ne!(household(one), household(stranger));
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(household(mapped), IpAddr::from([192, 0, 2, 1]));
    }
}
