//! The HTTP tracker: `/announce` and `/scrape`, also behind a passkey (BEP 3, 7, 21, 23, 24, 27, 31, 48).
//!
//! It stands before the router and its middleware, for announces come by the thousand. Every refusal is bencoded with
//! status 200, since many clients show no other; only a wrong method is a matter of HTTP.

use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};

use super::asker::{Asker, Door};
use super::path::{Endpoint, Route};
use super::service::Tracker;
use crate::proto::tracker::announce::Failure;
use crate::proto::tracker::http::{answer, query};

/// Answers a request to `path` that came from `source`, or `None` where the path is not the tracker's.
///
/// `query` is what follows the `?`, as it stands in the request. IPv4-mapped sources count as IPv4.
pub fn answer(
    tracker: &Tracker,
    method: &Method,
    path: &str,
    query: Option<&str>,
    source: IpAddr,
    now: Instant,
) -> Option<Response<Bytes>> {
    let route = Route::of(path)?;
    if method != Method::GET && method != Method::HEAD {
        return Some(wrong_method());
    }
    let query = query.unwrap_or_default().as_bytes();
    let asker = Asker::new(source, Door::Http).with_passkey(route.passkey);
    let answered = match route.endpoint {
        Endpoint::Announce => announce(tracker, query, &asker, now),
        Endpoint::Scrape => scrape(tracker, query, &asker, now),
    };
    let body = answered.unwrap_or_else(|failure| answer::encode_failure(&failure));
    Some(plain(StatusCode::OK, body.into()))
}

fn announce(
    tracker: &Tracker,
    query: &[u8],
    asker: &Asker,
    now: Instant,
) -> Result<Vec<u8>, Failure> {
    let (request, format) = query::decode_announce(query)
        .map_err(|error| tracker.not_understood(asker.door, &error))?;
    let asker = tracker
        .admission()
        .place(asker, || query::claimed_ip(query));
    let answered = tracker.announce(&request, &asker, now)?;
    Ok(answer::encode_announce(&answered, format))
}

fn scrape(
    tracker: &Tracker,
    query: &[u8],
    asker: &Asker,
    now: Instant,
) -> Result<Vec<u8>, Failure> {
    let request =
        query::decode_scrape(query).map_err(|error| tracker.not_understood(asker.door, &error))?;
    let answered = tracker.scrape(&request, asker, now)?;
    Ok(answer::encode_scrape(&answered))
}

fn wrong_method() -> Response<Bytes> {
    let words = Bytes::from_static(b"A tracker is asked with GET.\n");
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, words);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn plain(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::super::options::Options;
    use super::super::tests::{Fixture, START, escaped};
    use super::*;
    use crate::proto::tracker::announce::AnnounceAnswer;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

    impl Fixture {
        fn get(&self, path: &str, query: &str) -> String {
            let response = answer(
                &self.tracker,
                &Method::GET,
                path,
                Some(query),
                SOURCE,
                *START,
            );
            let response = response.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[CONTENT_TYPE], "text/plain");
            response.body().escape_ascii().to_string()
        }

        fn announce_query(&self) -> String {
            let info_hash = escaped(&self.v1);
            format!("info_hash={info_hash}&peer_id=-TR3000-jsdm7kizb46x&port=51413&left=5")
        }
    }

    #[tokio::test]
    async fn a_first_announce_finds_the_embedded_seed() {
        let options = Options {
            interval: 1800,
            ..Options::default()
        };
        let t = Fixture::new(options).await;
        let body = t.get("/announce", &t.announce_query());
        let (head, rest) = body.split_once("8:intervali").unwrap();
        assert_eq!(
            head,
            "d8:completei1e10:downloadedi0e11:external ip4:\\xc63d\\x0710:incompletei1e"
        );
        let (interval, rest) = rest.split_once('e').unwrap();
        assert!((1800..=1980).contains(&interval.parse().unwrap()));
        assert_eq!(
            rest,
            "12:min intervali300e5:peers6:\\xcb\\x00q\\x05\\x1a\\xe1e"
        );
    }

    #[tokio::test]
    async fn dictionaries_where_they_are_asked_for() {
        let t = Fixture::new(Options::default()).await;
        let body = t.get("/announce", &format!("{}&compact=0", t.announce_query()));
        let peers = "5:peersld2:ip11:203.0.113.57:peer id20:-SW0100-embeddedseed4:porti6881eeee";
        assert!(body.ends_with(peers), "{body}");
    }

    #[tokio::test]
    async fn a_scrape_leaves_out_what_is_not_published() {
        let t = Fixture::new(Options::default()).await;
        t.get("/announce", &t.announce_query());
        let query = format!("info_hash={}&info_hash={}", escaped(&t.v1), "a".repeat(20));
        let body = t.get("/scrape", &query);
        let counts = "d8:completei1e10:downloadedi0e11:downloadersi1e10:incompletei1eee5:flags";
        assert!(body.contains(counts), "{body}");
        assert_eq!(body.matches("complete").count(), 2);
    }

    #[tokio::test]
    async fn refusals_are_bencoded_and_change_nothing() {
        let t = Fixture::new(Options::default()).await;
        let announce = t.announce_query();
        for (path, query, words) in [
            ("/announce", "", "lacks info_hash"),
            ("/announce", "info_hash=%zz", "exactly 20 bytes"),
            (
                "/announce",
                &announce.replace("51413", "1.5"),
                "from 1 to 65535",
            ),
            (
                "/announce",
                &announce.replace("51413", "0"),
                "from 1 to 65535",
            ),
            (
                "/announce",
                &announce.replace("left=5", "left=x"),
                "left must be a whole number",
            ),
            ("/scrape", "", "does not list all of them"),
            (
                "/scrape",
                &["info_hash=aaaaaaaaaaaaaaaaaaaa"; 75].join("&"),
                "at most 74",
            ),
        ] {
            let body = t.get(path, query);
            assert!(body.starts_with("d14:failure reason"), "{body}");
            assert!(body.contains(words), "{query}: {body}");
        }
        let unknown = announce.replace(&escaped(&t.v1), "aaaaaaaaaaaaaaaaaaaa");
        let body = t.get("/announce", &unknown);
        assert!(body.contains("This tracker does not know this torrent"));
        assert!(body.ends_with("8:retry ini60ee"), "{body}");
        assert_eq!(t.tracker.peers(), 0);
    }

    #[tokio::test]
    async fn a_claimed_address_is_not_listed() {
        let t = Fixture::new(Options::default()).await;
        let claim = format!(
            "{}&ip=192.0.2.66&ipv4=192.0.2.66&ipv6=2001:db8::66",
            t.announce_query()
        );
        t.get("/announce", &claim);
        let asker = t.announce_query().replace("jsdm7kizb46x", "another-peer");
        let asker = asker.replace("51413", "51414");
        let body = t.get("/announce", &asker);
        assert!(
            body.contains("5:peers12:\\xcb\\x00q\\x05\\x1a\\xe1\\xc63d\\x07\\xc8\\xd5"),
            "{body}"
        );
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_not_ours() {
        let t = Fixture::new(Options::default()).await;
        let ask =
            |method: Method, path: &str| answer(&t.tracker, &method, path, None, SOURCE, *START);
        for path in ["/", "/announce/", "/announced", "/scrape.php"] {
            assert!(ask(Method::GET, path).is_none(), "{path}");
        }
        let post = ask(Method::POST, "/announce").unwrap();
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(post.headers()[ALLOW], "GET, HEAD");
        assert_eq!(
            ask(Method::HEAD, "/scrape").unwrap().status(),
            StatusCode::OK
        );
    }

    #[tokio::test]
    async fn what_we_answer_our_own_client_reads() {
        let t = Fixture::new(Options::default()).await;
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1).into();
        let query = t.announce_query();
        let response = answer(
            &t.tracker,
            &Method::GET,
            "/announce",
            Some(&query),
            v6,
            *START,
        );
        let read: AnnounceAnswer = answer::decode_announce(response.unwrap().body()).unwrap();
        let addresses: Vec<_> = read
            .peers
            .iter()
            .map(|peer| peer.address.to_string())
            .collect();
        assert_eq!(addresses, ["203.0.113.5:6881", "[2001:db8::5]:6881"]);
        assert_eq!(read.external_ip, Some(v6));
    }
}
