//! Addresses that this server hands out: in torrents, magnet links, the API and pages.
//!
//! All of them are made from `public_url`, never from what a request says its host is. A path segment keeps letters,
//! digits and `-._~`; everything else is percent-encoded (RFC 3986, section 2.3).

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

use crate::domain::passkey::Passkey;
use crate::domain::publication::{Publication, PublicationId};
use crate::proto::metainfo::path::FilePath;

/// What may not stand as itself in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why an address cannot be `public_url`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// Only http and https have pages.
    #[error("public_url must begin with http:// or https://, but is {0}")]
    Scheme(Url),
    /// Pages and announces live at the root.
    #[error(
        "public_url must be a scheme, a host and perhaps a port, without user name, path or query, but is {0}"
    )]
    NotAnOrigin(Url),
}

/// Makes the addresses of one server.
#[derive(Clone, Debug)]
pub struct Links {
    /// Scheme, host and port, without a slash at the end.
    origin: String,
    host: Host<String>,
    is_https: bool,
    udp_tracker: Option<u16>,
    has_websocket_tracker: bool,
    dht_node: Vec<(String, u16)>,
}

impl Links {
    /// Makes addresses that begin with `public_url`.
    ///
    /// # Errors
    /// [`PublicUrlError`] where the address is more or less than scheme, host and port.
    pub fn new(public_url: &Url) -> Result<Self, PublicUrlError> {
        if !matches!(public_url.scheme(), "http" | "https") {
            return Err(PublicUrlError::Scheme(public_url.clone()));
        }
        let is_origin = public_url.path() == "/"
            && public_url.query().is_none()
            && public_url.fragment().is_none()
            && public_url.username().is_empty()
            && public_url.password().is_none();
        let Some(host) = public_url.host().filter(|_| is_origin) else {
            return Err(PublicUrlError::NotAnOrigin(public_url.clone()));
        };
        Ok(Self {
            origin: public_url.origin().ascii_serialization(),
            host: host.to_owned(),
            is_https: public_url.scheme() == "https",
            udp_tracker: None,
            has_websocket_tracker: false,
            dht_node: Vec::new(),
        })
    }

    /// The same, with the UDP tracker at a port of the same host.
    #[must_use]
    pub fn with_udp_tracker(self, port: u16) -> Self {
        Self {
            udp_tracker: Some(port),
            ..self
        }
    }

    /// The same, with the WebSocket tracker named for peers in browsers.
    #[must_use]
    pub fn with_websocket_tracker(self) -> Self {
        Self {
            has_websocket_tracker: true,
            ..self
        }
    }

    /// The same, with a node of the DHT at a port of the same host.
    #[must_use]
    pub fn with_dht_node(self, port: u16) -> Self {
        let host = self.host.to_string();
        let host = host.trim_matches(['[', ']']).to_owned();
        Self {
            dht_node: vec![(host, port)],
            ..self
        }
    }

    /// Scheme, host and port, as browsers write them into `Origin`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The host that people know this server by.
    pub const fn host(&self) -> &Host<String> {
        &self.host
    }

    /// Whether people come over TLS, so that cookies may insist on it.
    pub const fn is_https(&self) -> bool {
        self.is_https
    }

    /// The HTTP tracker's announce address.
    pub fn announce(&self) -> String {
        format!("{}/announce", self.origin)
    }

    /// The announce addresses of this tracker (BEP 12): HTTP and UDP in one tier, whichever a client likes best. Peers in
    /// browsers are a tier of their own: a client that announces to one tracker of a tier must not take that for the
    /// other two.
    pub fn trackers(&self) -> Vec<Vec<String>> {
        let udp = self
            .udp_tracker
            .map(|port| format!("udp://{}:{port}/announce", self.host));
        let addressed = std::iter::once(self.announce()).chain(udp).collect();
        // Both http and https turn into their counterparts.
        let websocket = self
            .has_websocket_tracker
            .then(|| vec![self.announce().replacen("http", "ws", 1)]);
        std::iter::once(addressed).chain(websocket).collect()
    }

    /// Our node of the DHT, by host and port, for the torrents that may be there: private ones may not (BEP 27).
    pub(super) fn dht_nodes(&self, publication: &Publication) -> &[(String, u16)] {
        if publication.private {
            &[]
        } else {
            &self.dht_node
        }
    }

    /// The same addresses with somebody's passkey in the path (BEP 27).
    pub(super) fn personal_trackers(&self, passkey: &Passkey) -> Vec<Vec<String>> {
        let mut tiers = self.trackers();
        for address in tiers.iter_mut().flatten() {
            if let Some(server) = address.strip_suffix("/announce") {
                *address = format!("{server}/{}/announce", passkey.reveal());
            }
        }
        tiers
    }

    /// The one-time address at which the first administrator is made.
    pub fn setup(&self, token: &str) -> String {
        format!("{}/setup?token={}", self.origin, encode_segment(token))
    }

    /// The address of a path of this site, which begins with a slash.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// The page of a publication.
    pub fn page(&self, id: PublicationId) -> String {
        format!("{}/p/{id}", self.origin)
    }

    /// The torrent file of a publication.
    pub fn torrent(&self, id: PublicationId) -> String {
        format!("{}/p/{id}.torrent", self.origin)
    }

    /// Where people download a file of a publication.
    pub fn file(&self, publication: &Publication, path: &FilePath) -> String {
        format!("{}{}", self.origin, file_path(publication, path))
    }

    /// The web seed of a publication (BEP 19): the file itself where there is only one, else the folder that clients append
    /// the torrent's name and a file's path to, which is why it ends with a slash.
    pub fn web_seed(&self, publication: &Publication) -> String {
        let mut address = format!("{}/web-seed/{}/", self.origin, publication.id);
        if publication.is_single_file() {
            address.push_str(&encode_segment(&publication.name));
        }
        address
    }
}

/// The path, on any of this server's names, at which people download a file.
pub(super) fn file_path(publication: &Publication, path: &FilePath) -> String {
    let mut address = format!("/files/{}", publication.id);
    let folder = (!publication.is_single_file()).then_some(publication.name.as_str());
    for segment in folder.into_iter().chain(path.components()) {
        // Writing to a string cannot fail.
        let _ = write!(address, "/{}", encode_segment(segment));
    }
    address
}

/// The path at which a file of a publication is shown.
pub(super) fn preview_path(publication: &Publication, path: &FilePath) -> String {
    let file = file_path(publication, path);
    file.replacen(
        &format!("/files/{}", publication.id),
        &format!("/p/{}/preview", publication.id),
        1,
    )
}

/// One segment of a path, percent-encoded.
pub(super) fn encode_segment(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::testing::{folder, single_file};

    fn links(url: &str) -> Result<Links, PublicUrlError> {
        Links::new(&url.parse().unwrap())
    }

    #[test]
    fn a_folder_ends_with_a_slash_and_a_file_does_not() {
        let links = links("https://example.org:8443/").unwrap();
        let (file, folder) = (
            single_file("größe 1.iso", 5),
            folder("box", &[("a b/c?.txt", 5)]),
        );
        assert_eq!(
            links.web_seed(&file),
            format!(
                "https://example.org:8443/web-seed/{}/gr%C3%B6%C3%9Fe%201.iso",
                file.id
            )
        );
        assert_eq!(
            links.web_seed(&folder),
            format!("https://example.org:8443/web-seed/{}/", folder.id)
        );
        assert_eq!(
            links.file(&folder, &folder.files[0].path),
            format!(
                "https://example.org:8443/files/{}/box/a%20b/c%3F.txt",
                folder.id
            )
        );
        assert_eq!(links.announce(), "https://example.org:8443/announce");
    }

    #[test]
    fn a_passkey_stands_in_the_path_of_every_tracker() {
        let passkey = "00112233445566778899aabbccddeeff".parse().unwrap();
        let links = links("https://example.org").unwrap().with_udp_tracker(6969);
        let tiers = links.with_websocket_tracker().personal_trackers(&passkey);
        assert_eq!(tiers.concat().len(), 3);
        for address in tiers.concat() {
            let (_, path) = address.split_once("example.org").unwrap();
            assert!(
                path.ends_with("/00112233445566778899aabbccddeeff/announce"),
                "{address}"
            );
        }
    }

    #[test]
    fn the_standard_port_is_left_out_as_browsers_do() {
        assert_eq!(
            links("https://example.org:443").unwrap().origin(),
            "https://example.org"
        );
    }

    #[test]
    fn refuses_what_is_no_origin() {
        for url in [
            "https://example.org/sub",
            "https://u:p@example.org",
            "https://example.org/?a",
            "http://h/#f",
        ] {
            assert!(
                matches!(links(url), Err(PublicUrlError::NotAnOrigin(_))),
                "{url}"
            );
        }
        assert!(matches!(
            links("ftp://example.org"),
            Err(PublicUrlError::Scheme(_))
        ));
    }
}
