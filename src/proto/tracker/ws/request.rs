//! What a peer says over its socket, read and written.

use std::fmt;
use std::num::NonZeroU16;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Action, Description, MaybeRaw, Number, OfferId, Raw, Session, SessionType};
use crate::proto::id::{InfoHash, PeerId};
use crate::proto::tracker::announce::{AnnounceRequest, Event, ScrapeRequest};

/// What stands for the port of a peer that has none.
const NO_PORT: NonZeroU16 = NonZeroU16::MIN;

/// What a peer wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To join, stay in or leave a swarm, and to be introduced to others in it.
    Announce(WsAnnounce),
    /// To answer another peer's offer.
    Answer(WsAnswer),
    /// To know swarms in numbers.
    Scrape(ScrapeRequest),
}

/// An announce, and the offers that come with it, each for one other peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsAnnounce {
    /// What the peer tells. It has no port; a 1 stands for it. It has no key.
    pub request: AnnounceRequest,
    /// For peers that the tracker chooses.
    pub offers: Vec<Description>,
}

/// An answer to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsAnswer {
    /// The swarm in which the two meet.
    pub info_hash: InfoHash,
    /// The peer that answers.
    pub peer_id: PeerId,
    /// The peer that made the offer.
    pub to: PeerId,
    /// The answer.
    pub answer: Description,
}

/// A message that is not understood, as far as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Misunderstood {
    /// What it was about.
    pub action: Action,
    /// The torrent that it was about.
    pub info_hash: Option<InfoHash>,
    /// What is wrong.
    pub error: RequestError,
}

/// Why a message is not understood, in words for the person whose client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not JSON, or a value in it is of the wrong kind.
    #[error(
        "the message is not the JSON that WebTorrent clients send; it goes wrong in column {column} of line {line}"
    )]
    NotUnderstood {
        /// From 1; 0 where it has none.
        line: usize,
        /// From 1; 0 where the line is empty.
        column: usize,
    },
    /// A field that must be there is not.
    #[error("the message lacks {0}; update your WebTorrent client")]
    Missing(&'static str),
    /// An id is not twenty bytes.
    #[error(
        "{0} must be a string of exactly 20 characters, one for each byte; update your WebTorrent client"
    )]
    NotAnId(&'static str),
    /// A session description is of the other type.
    #[error("an offer must be of type \"offer\" and an answer of type \"answer\"")]
    WrongType,
    /// A scrape that names no torrent asks for all of them.
    #[error("name the torrents to scrape in info_hash; this tracker does not list all of them")]
    ScrapeOfEverything,
    /// A scrape names too many torrents.
    #[error("scrape at most {} torrents at once", ScrapeRequest::MAX_SCRAPED)]
    TooManyScraped,
}

/// Reads a message.
///
/// # Errors
/// [`Misunderstood`] says what is wrong, and with what.
pub fn decode(message: &[u8]) -> Result<Request, Misunderstood> {
    let fields: Fields = serde_json::from_slice(message).map_err(|error| Misunderstood {
        action: Action::Announce,
        info_hash: None,
        error: RequestError::NotUnderstood {
            line: error.line(),
            column: error.column(),
        },
    })?;
    let action = fields.action;
    let info_hash = match &fields.info_hash {
        Some(InfoHashField::One(MaybeRaw(Some(Raw(bytes))))) => Some(InfoHash::from(*bytes)),
        _ => None,
    };
    fields.understand().map_err(|error| Misunderstood {
        action,
        info_hash,
        error,
    })
}

/// Writes a message, as a client does.
pub fn encode(request: &Request) -> String {
    let fields = match request {
        Request::Announce(announce) => Written::of_announce(announce),
        Request::Answer(answer) => Written::of_answer(answer),
        Request::Scrape(scrape) => Written {
            action: Action::Scrape,
            info_hash: WrittenInfoHash::Many(
                scrape.info_hashes.iter().copied().map(Raw::from).collect(),
            ),
            ..Written::default()
        },
    };
    // The fields are numbers, strings and lists of them, which JSON has; and memory takes whatever is written to it.
    serde_json::to_string(&fields).unwrap_or_default()
}

/// A message as JSON has it.
#[derive(Debug, Deserialize)]
struct Fields {
    #[serde(default)]
    action: Action,
    info_hash: Option<InfoHashField>,
    peer_id: Option<MaybeRaw>,
    to_peer_id: Option<MaybeRaw>,
    offer_id: Option<MaybeRaw>,
    #[serde(default)]
    uploaded: Number,
    #[serde(default)]
    downloaded: Number,
    #[serde(default)]
    left: Number,
    #[serde(default)]
    numwant: Number,
    #[serde(default)]
    event: Option<EventField>,
    offers: Option<Vec<OfferFields>>,
    answer: Option<Session<String>>,
}

#[derive(Debug, Deserialize)]
struct OfferFields {
    offer: Session<String>,
    offer_id: MaybeRaw,
}

/// An event that is not known is none, as over HTTP.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EventField {
    Started,
    Completed,
    Stopped,
    Paused,
    #[serde(other)]
    Other,
}

#[derive(Debug)]
enum InfoHashField {
    One(MaybeRaw),
    Many(Vec<MaybeRaw>),
}

impl<'de> Deserialize<'de> for InfoHashField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = InfoHashField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, text: &str) -> Result<InfoHashField, E> {
                Ok(InfoHashField::One(MaybeRaw(Raw::read(text))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<InfoHashField, A::Error> {
                let mut hashes = Vec::new();
                while let Some(hash) = list.next_element()? {
                    hashes.push(hash);
                }
                Ok(InfoHashField::Many(hashes))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

impl Fields {
    fn understand(self) -> Result<Request, RequestError> {
        match (self.action, &self.answer) {
            (Action::Scrape, _) => self.scrape().map(Request::Scrape),
            (Action::Announce, Some(_)) => self.answer().map(Request::Answer),
            (Action::Announce, None) => self.announce().map(Request::Announce),
        }
    }

    fn announce(self) -> Result<WsAnnounce, RequestError> {
        let request = AnnounceRequest {
            info_hash: self.info_hash()?,
            peer_id: id("peer_id", self.peer_id)?.into(),
            port: NO_PORT,
            uploaded: self.uploaded.0.unwrap_or(0),
            downloaded: self.downloaded.0.unwrap_or(0),
            left: self.left.0,
            event: match self.event {
                Some(EventField::Started) => Event::Started,
                Some(EventField::Completed) => Event::Completed,
                Some(EventField::Stopped) => Event::Stopped,
                Some(EventField::Paused) => Event::Paused,
                Some(EventField::Other) | None => Event::None,
            },
            numwant: self.numwant.narrow(),
            key: None,
        };
        let offers = self.offers.unwrap_or_default().into_iter().map(|fields| {
            let offer_id = id("offer_id", Some(fields.offer_id))?;
            description(fields.offer, SessionType::Offer, offer_id)
        });
        Ok(WsAnnounce {
            request,
            offers: offers.collect::<Result<_, _>>()?,
        })
    }

    fn answer(self) -> Result<WsAnswer, RequestError> {
        let info_hash = self.info_hash()?;
        let session = self.answer.ok_or(RequestError::Missing("answer"))?;
        let offer_id = id("offer_id", self.offer_id)?;
        Ok(WsAnswer {
            info_hash,
            peer_id: id("peer_id", self.peer_id)?.into(),
            to: id("to_peer_id", self.to_peer_id)?.into(),
            answer: description(session, SessionType::Answer, offer_id)?,
        })
    }

    fn scrape(self) -> Result<ScrapeRequest, RequestError> {
        let hashes = match self.info_hash {
            None => Vec::new(),
            Some(InfoHashField::One(hash)) => vec![hash],
            Some(InfoHashField::Many(hashes)) => hashes,
        };
        if hashes.is_empty() {
            return Err(RequestError::ScrapeOfEverything);
        }
        if hashes.len() > ScrapeRequest::MAX_SCRAPED {
            return Err(RequestError::TooManyScraped);
        }
        let info_hashes = hashes
            .into_iter()
            .map(|hash| id("info_hash", Some(hash)).map(InfoHash::from));
        Ok(ScrapeRequest {
            info_hashes: info_hashes.collect::<Result<_, _>>()?,
        })
    }

    fn info_hash(&self) -> Result<InfoHash, RequestError> {
        let one = match &self.info_hash {
            None => None,
            Some(InfoHashField::One(hash)) => Some(*hash),
            Some(InfoHashField::Many(_)) => Some(MaybeRaw(None)),
        };
        id("info_hash", one).map(InfoHash::from)
    }
}

fn id(name: &'static str, field: Option<MaybeRaw>) -> Result<[u8; 20], RequestError> {
    let MaybeRaw(raw) = field.ok_or(RequestError::Missing(name))?;
    raw.map(|Raw(bytes)| bytes)
        .ok_or(RequestError::NotAnId(name))
}

fn description(
    session: Session<String>,
    wanted: SessionType,
    offer_id: [u8; 20],
) -> Result<Description, RequestError> {
    if session.r#type != wanted {
        return Err(RequestError::WrongType);
    }
    Ok(Description {
        offer_id: OfferId(offer_id),
        sdp: session.sdp,
    })
}

/// A message on its way to JSON.
#[derive(Debug, Default, Serialize)]
struct Written<'a> {
    action: Action,
    info_hash: WrittenInfoHash,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_id: Option<Raw>,
    #[serde(flatten)]
    claims: Option<Claims>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offers: Option<Vec<WrittenOffer<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_peer_id: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_id: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Session<&'a str>>,
}

#[derive(Debug, Serialize)]
struct Claims {
    uploaded: u64,
    downloaded: u64,
    left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numwant: Option<u32>,
}

#[derive(Debug, Serialize)]
struct WrittenOffer<'a> {
    offer: Session<&'a str>,
    offer_id: Raw,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum WrittenInfoHash {
    One(Raw),
    Many(Vec<Raw>),
}

impl Default for WrittenInfoHash {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<'a> Written<'a> {
    fn of_announce(announce: &'a WsAnnounce) -> Self {
        let request = &announce.request;
        let offers = announce.offers.iter().map(|offer| WrittenOffer {
            offer: Session {
                r#type: SessionType::Offer,
                sdp: offer.sdp.as_str(),
            },
            offer_id: offer.offer_id.into(),
        });
        Self {
            info_hash: WrittenInfoHash::One(request.info_hash.into()),
            peer_id: Some(request.peer_id.into()),
            claims: Some(Claims {
                uploaded: request.uploaded,
                downloaded: request.downloaded,
                left: request.left,
                event: match request.event {
                    Event::None => None,
                    Event::Started => Some("started"),
                    Event::Completed => Some("completed"),
                    Event::Stopped => Some("stopped"),
                    Event::Paused => Some("paused"),
                },
                numwant: request.numwant,
            }),
            offers: Some(offers.collect()),
            ..Self::default()
        }
    }

    fn of_answer(answer: &'a WsAnswer) -> Self {
        Self {
            info_hash: WrittenInfoHash::One(answer.info_hash.into()),
            peer_id: Some(answer.peer_id.into()),
            to_peer_id: Some(answer.to.into()),
            offer_id: Some(answer.answer.offer_id.into()),
            answer: Some(Session {
                r#type: SessionType::Answer,
                sdp: &answer.answer.sdp,
            }),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As bittorrent-tracker 11 writes it, whose magnet clients do not know what is left.
    const WEBTORRENT: &str = r#"{"numwant":1,"uploaded":0,"downloaded":0,"left":null,"event":"started","action":"announce","info_hash":"\u0000ÿaaaaaaaaaaaaaaaaaa","peer_id":"-WW0300-abcdefghijkl","offers":[{"offer":{"type":"offer","sdp":"v=0\r\n"},"offer_id":"oooooooooooooooooooo"}]}"#;

    fn announce() -> WsAnnounce {
        let mut info_hash = [b'a'; 20];
        info_hash[..2].copy_from_slice(&[0, 255]);
        WsAnnounce {
            request: AnnounceRequest {
                info_hash: info_hash.into(),
                peer_id: (*b"-WW0300-abcdefghijkl").into(),
                port: NO_PORT,
                uploaded: 0,
                downloaded: 0,
                left: None,
                event: Event::Started,
                numwant: Some(1),
                key: None,
            },
            offers: vec![description_of("v=0\r\n")],
        }
    }

    fn description_of(sdp: &str) -> Description {
        Description {
            offer_id: OfferId([b'o'; 20]),
            sdp: sdp.to_owned(),
        }
    }

    fn refused(message: &str) -> Misunderstood {
        decode(message.as_bytes()).unwrap_err()
    }

    #[test]
    fn reads_what_webtorrent_sends() {
        let read = decode(WEBTORRENT.as_bytes());
        assert_eq!(read, Ok(Request::Announce(announce())));
        let answer = r#"{"action":"announce","info_hash":"hhhhhhhhhhhhhhhhhhhh","peer_id":"pppppppppppppppppppp","to_peer_id":"tttttttttttttttttttt","answer":{"type":"answer","sdp":"x"},"offer_id":"oooooooooooooooooooo"}"#;
        let expected = WsAnswer {
            info_hash: [b'h'; 20].into(),
            peer_id: [b'p'; 20].into(),
            to: [b't'; 20].into(),
            answer: description_of("x"),
        };
        assert_eq!(decode(answer.as_bytes()), Ok(Request::Answer(expected)));
        for one_or_many in [r#""hhhhhhhhhhhhhhhhhhhh""#, r#"["hhhhhhhhhhhhhhhhhhhh"]"#] {
            let scrape = format!(r#"{{"action":"scrape","info_hash":{one_or_many}}}"#);
            let expected = ScrapeRequest {
                info_hashes: vec![[b'h'; 20].into()],
            };
            assert_eq!(decode(scrape.as_bytes()), Ok(Request::Scrape(expected)));
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for end in 0..WEBTORRENT.len() {
            let part = &WEBTORRENT.as_bytes()[..end];
            let refused = decode(part).unwrap_err();
            assert!(
                matches!(refused.error, RequestError::NotUnderstood { .. }),
                "{end}"
            );
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_the_torrent() {
        let hash = "hhhhhhhhhhhhhhhhhhhh";
        let torrent = Some([b'h'; 20].into());
        let field = format!(r#""info_hash":"{hash}""#);
        for (message, info_hash, error) in [
            ("{}".to_owned(), None, RequestError::Missing("info_hash")),
            (
                r#"{"info_hash":"short"}"#.to_owned(),
                None,
                RequestError::NotAnId("info_hash"),
            ),
            (
                format!(r#"{{"info_hash":["{hash}"]}}"#),
                None,
                RequestError::NotAnId("info_hash"),
            ),
            (
                format!("{{{field}}}"),
                torrent,
                RequestError::Missing("peer_id"),
            ),
            (
                format!(r#"{{{field},"peer_id":"ĀĀĀĀĀĀĀĀĀĀĀĀĀĀĀĀĀĀĀĀ"}}"#),
                torrent,
                RequestError::NotAnId("peer_id"),
            ),
            (
                format!(
                    r#"{{{field},"peer_id":"{hash}","offers":[{{"offer":{{"type":"answer","sdp":""}},"offer_id":"{hash}"}}]}}"#
                ),
                torrent,
                RequestError::WrongType,
            ),
            (
                format!(
                    r#"{{{field},"peer_id":"{hash}","answer":{{"type":"answer","sdp":""}},"offer_id":"{hash}"}}"#
                ),
                torrent,
                RequestError::Missing("to_peer_id"),
            ),
        ] {
            let refused = refused(&message);
            assert_eq!(
                (refused.info_hash, refused.error),
                (info_hash, error),
                "{message}"
            );
            assert_eq!(refused.action, Action::Announce);
        }
    }

    #[test]
    fn what_is_no_message_is_refused_where_it_goes_wrong() {
        let deep = "[".repeat(60_000);
        let deep_inside = format!(r#"{{"x":{deep}}}"#);
        for message in [
            "",
            "5",
            "[]",
            "\u{feff}{}",
            r#"{"action":"destroy"}"#,
            r#"{"action":5}"#,
            r#"{"info_hash":5}"#,
            r#"{"left":[]}"#,
            r#"{"offers":5}"#,
            r#"{"offers":[{}]}"#,
            r#"{"answer":{"type":"pranswer","sdp":""}}"#,
            r#"{"answer":{"type":"answer","sdp":5}}"#,
            "{} {}",
            &deep,
            &deep_inside,
        ] {
            let refused = refused(message);
            assert!(
                matches!(refused.error, RequestError::NotUnderstood { .. }),
                "{refused:?}"
            );
        }
        assert_eq!(
            refused("[]").to_string(),
            "the message is not the JSON that WebTorrent clients send; it goes wrong in column 2 of line 1"
        );
    }

    #[test]
    fn a_scrape_names_one_to_seventy_four_torrents() {
        let of = |count: usize| {
            let hashes = vec![r#""hhhhhhhhhhhhhhhhhhhh""#; count].join(",");
            decode(format!(r#"{{"action":"scrape","info_hash":[{hashes}]}}"#).as_bytes())
        };
        assert_eq!(of(0).unwrap_err().error, RequestError::ScrapeOfEverything);
        assert!(of(74).is_ok());
        let refused = of(75).unwrap_err();
        assert_eq!(
            (refused.action, refused.error),
            (Action::Scrape, RequestError::TooManyScraped)
        );
    }

    proptest! {
        #[test]
        fn requests_survive_the_journey(
            (info_hash, peer_id, to, offer_id) in any::<([u8; 20], [u8; 20], [u8; 20], [u8; 20])>(),
            (uploaded, downloaded, left) in any::<(u64, u64, Option<u64>)>(),
            numwant in any::<Option<u32>>(),
            event in prop::sample::select(vec![Event::None, Event::Started, Event::Completed, Event::Stopped, Event::Paused]),
            sdps in prop::collection::vec(any::<String>(), 0..4),
        ) {
            let describe = |sdp: &String| Description { offer_id: OfferId(offer_id), sdp: sdp.clone() };
            let announce = WsAnnounce {
                request: AnnounceRequest {
                    info_hash: info_hash.into(),
                    peer_id: peer_id.into(),
                    port: NO_PORT,
                    uploaded,
                    downloaded,
                    left,
                    event,
                    numwant,
                    key: None,
                },
                offers: sdps.iter().map(describe).collect(),
            };
            let answer = WsAnswer {
                info_hash: info_hash.into(),
                peer_id: peer_id.into(),
                to: to.into(),
                answer: describe(&sdps.concat()),
            };
            let scrape = ScrapeRequest { info_hashes: vec![info_hash.into(), to.into()] };
            for request in [Request::Announce(announce), Request::Answer(answer), Request::Scrape(scrape)] {
                prop_assert_eq!(decode(encode(&request).as_bytes()), Ok(request));
            }
        }

        #[test]
        fn no_bytes_confuse_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
