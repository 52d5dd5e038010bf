//! What a tracker says over a socket, written and read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Action, Description, Number, OfferId, Raw, Session, SessionType};
use crate::proto::id::{InfoHash, PeerId};
use crate::proto::tracker::announce::{
    AnnounceAnswer, Failure, Retry, ScrapeAnswer, ScrapeCounts, words,
};

/// Seconds between announces where a tracker does not say.
const USUAL_INTERVAL: u32 = 120;

/// What a tracker says to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The answer to an announce. It names no peers: they come by their offers.
    Announced(InfoHash, AnnounceAnswer),
    /// The answer to a scrape.
    Scraped(ScrapeAnswer),
    /// Another peer's offer.
    Offer(Introduction),
    /// Another peer's answer to an offer.
    Answer(Introduction),
    /// A refusal.
    Refused {
        /// What was refused.
        action: Action,
        /// The torrent that it was about, if it named one.
        info_hash: Option<InfoHash>,
        /// Why.
        failure: Failure,
    },
}

/// What one peer sends another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The swarm in which the two meet.
    pub info_hash: InfoHash,
    /// The peer that it is from.
    pub from: PeerId,
    /// Its offer or answer.
    pub description: Description,
}

/// A tracker's message makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// It is not JSON, or a value in it is of the wrong kind.
    #[error("the answer is not the JSON of a WebTorrent tracker")]
    NotUnderstood(#[from] serde_json::Error),
    /// A field that must be there is not.
    #[error("the tracker's answer lacks {0}")]
    Lacks(&'static str),
}

/// Writes a message to a peer.
pub fn encode(reply: Reply) -> String {
    let fields = match reply {
        Reply::Announced(info_hash, answer) => Fields::of_announced(info_hash, answer),
        Reply::Scraped(answer) => Fields::of_scraped(&answer),
        Reply::Offer(introduction) => Fields::of_introduction(introduction, SessionType::Offer),
        Reply::Answer(introduction) => Fields::of_introduction(introduction, SessionType::Answer),
        Reply::Refused {
            action,
            info_hash,
            failure,
        } => Fields {
            action,
            info_hash: info_hash.map(Raw::from),
            failure_reason: Some(failure.reason.into_owned()),
            retry_in: failure.retry.map(RetryField::from),
            ..Fields::default()
        },
    };
    // The fields are numbers, strings and lists of them, which JSON has; and memory takes whatever is written to it.
    serde_json::to_string(&fields).unwrap_or_default()
}

/// Reads a tracker's message, as a client does.
///
/// # Errors
/// [`ReplyError`] where it makes no sense.
pub fn decode(message: &[u8]) -> Result<Reply, ReplyError> {
    let fields: Fields = serde_json::from_slice(message)?;
    if let Some(reason) = fields.failure_reason {
        return Ok(Reply::Refused {
            action: fields.action,
            info_hash: fields.info_hash.map(|Raw(hash)| hash.into()),
            failure: Failure {
                reason: words(reason.as_bytes()).into(),
                retry: fields.retry_in.and_then(RetryField::read),
            },
        });
    }
    if fields.action == Action::Scrape {
        return fields.scraped().map(Reply::Scraped);
    }
    let Raw(info_hash) = fields.info_hash.ok_or(ReplyError::Lacks("info_hash"))?;
    let info_hash = InfoHash::from(info_hash);
    match (&fields.offer, &fields.answer) {
        (Some(_), _) => fields.introduction(info_hash).map(Reply::Offer),
        (None, Some(_)) => fields.introduction(info_hash).map(Reply::Answer),
        (None, None) => Ok(Reply::Announced(info_hash, fields.announced()?)),
    }
}

/// The fields of a message that no client needs, as a person reads them; empty where the message makes no sense.
pub fn other_fields(message: &[u8]) -> Vec<(String, String)> {
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(message).unwrap_or_default();
    let known = |key: &str| {
        matches!(
            key,
            "action"
                | "info_hash"
                | "failure reason"
                | "retry in"
                | "warning message"
                | "interval"
                | "min interval"
                | "complete"
                | "incomplete"
                | "downloaded"
                | "downloaders"
                | "files"
                | "flags"
        )
    };
    let others = fields.into_iter().filter(|(key, _)| !known(key));
    others
        .map(|(key, value)| (words(key.as_bytes()), words(value.to_string().as_bytes())))
        .collect()
}

/// A message as JSON has it.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Fields {
    #[serde(default)]
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    info_hash: Option<Raw>,
    #[serde(rename = "failure reason", skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    #[serde(rename = "retry in", skip_serializing_if = "Option::is_none")]
    retry_in: Option<RetryField>,
    #[serde(rename = "warning message", skip_serializing_if = "Option::is_none")]
    warning_message: Option<String>,
    #[serde(default, skip_serializing_if = "Number::is_none")]
    interval: Number,
    #[serde(
        default,
        rename = "min interval",
        skip_serializing_if = "Number::is_none"
    )]
    min_interval: Number,
    #[serde(flatten)]
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<BTreeMap<Raw, Counts>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Flags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_id: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_id: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<Session<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Session<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Counts {
    #[serde(default, skip_serializing_if = "Number::is_none")]
    complete: Number,
    #[serde(default, skip_serializing_if = "Number::is_none")]
    incomplete: Number,
    #[serde(default, skip_serializing_if = "Number::is_none")]
    downloaded: Number,
    #[serde(default, skip_serializing_if = "Number::is_none")]
    downloaders: Number,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Flags {
    #[serde(default)]
    min_request_interval: Number,
}

/// BEP 31, in JSON.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum RetryField {
    Minutes(u32),
    Word(String),
}

impl From<Retry> for RetryField {
    fn from(retry: Retry) -> Self {
        match retry {
            Retry::InMinutes(minutes) => Self::Minutes(minutes),
            Retry::Never => Self::Word("never".to_owned()),
        }
    }
}

impl RetryField {
    fn read(self) -> Option<Retry> {
        match self {
            Self::Minutes(minutes) => Some(Retry::InMinutes(minutes)),
            Self::Word(word) => (word == "never").then_some(Retry::Never),
        }
    }
}

impl Fields {
    fn of_announced(info_hash: InfoHash, answer: AnnounceAnswer) -> Self {
        Self {
            info_hash: Some(info_hash.into()),
            warning_message: answer.warning,
            interval: Some(answer.interval).into(),
            min_interval: answer.min_interval.into(),
            counts: Counts {
                complete: answer.complete.into(),
                incomplete: answer.incomplete.into(),
                downloaded: Number(answer.downloaded),
                downloaders: Number(None),
            },
            ..Self::default()
        }
    }

    fn of_scraped(answer: &ScrapeAnswer) -> Self {
        let files = answer.files.iter().map(|(info_hash, counts)| {
            let counts = Counts {
                complete: Some(counts.complete).into(),
                incomplete: Some(counts.incomplete).into(),
                downloaded: Number(Some(counts.downloaded)),
                downloaders: counts.downloaders.into(),
            };
            (Raw::from(*info_hash), counts)
        });
        Self {
            action: Action::Scrape,
            files: Some(files.collect()),
            flags: answer.min_request_interval.map(|seconds| Flags {
                min_request_interval: Some(seconds).into(),
            }),
            ..Self::default()
        }
    }

    fn of_introduction(introduction: Introduction, r#type: SessionType) -> Self {
        let Description { offer_id, sdp } = introduction.description;
        let session = Some(Session { r#type, sdp });
        let (offer, answer) = match r#type {
            SessionType::Offer => (session, None),
            SessionType::Answer => (None, session),
        };
        Self {
            info_hash: Some(introduction.info_hash.into()),
            peer_id: Some(introduction.from.into()),
            offer_id: Some(offer_id.into()),
            offer,
            answer,
            ..Self::default()
        }
    }

    fn announced(self) -> Result<AnnounceAnswer, ReplyError> {
        if self.interval.is_none() && self.counts.complete.is_none() {
            return Err(ReplyError::Lacks("interval"));
        }
        Ok(AnnounceAnswer {
            interval: self.interval.narrow().unwrap_or(USUAL_INTERVAL),
            min_interval: self.min_interval.narrow(),
            complete: self.counts.complete.narrow(),
            incomplete: self.counts.incomplete.narrow(),
            downloaded: self.counts.downloaded.0,
            warning: self.warning_message.map(|it| words(it.as_bytes())),
            ..AnnounceAnswer::default()
        })
    }

    fn scraped(self) -> Result<ScrapeAnswer, ReplyError> {
        let files = self.files.ok_or(ReplyError::Lacks("files"))?;
        let files = files.into_iter().map(|(Raw(info_hash), counts)| {
            let counts = ScrapeCounts {
                complete: counts.complete.narrow().unwrap_or(0),
                incomplete: counts.incomplete.narrow().unwrap_or(0),
                downloaded: counts.downloaded.0.unwrap_or(0),
                downloaders: counts.downloaders.narrow(),
            };
            (InfoHash::from(info_hash), counts)
        });
        Ok(ScrapeAnswer {
            files: files.collect(),
            min_request_interval: self
                .flags
                .and_then(|flags| flags.min_request_interval.narrow()),
        })
    }

    fn introduction(self, info_hash: InfoHash) -> Result<Introduction, ReplyError> {
        let Raw(from) = self.peer_id.ok_or(ReplyError::Lacks("peer_id"))?;
        let Raw(offer_id) = self.offer_id.ok_or(ReplyError::Lacks("offer_id"))?;
        let session = self
            .offer
            .or(self.answer)
            .ok_or(ReplyError::Lacks("offer"))?;
        Ok(Introduction {
            info_hash,
            from: from.into(),
            description: Description {
                offer_id: OfferId(offer_id),
                sdp: session.sdp,
            },
        })
    }
}

impl Number {
    const fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl From<Option<u32>> for Number {
    fn from(number: Option<u32>) -> Self {
        Self(number.map(u64::from))
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer() -> AnnounceAnswer {
        AnnounceAnswer {
            interval: 120,
            complete: Some(1),
            incomplete: Some(2),
            downloaded: Some(3),
            ..AnnounceAnswer::default()
        }
    }

    #[test]
    fn clients_find_the_fields_that_they_look_for() {
        let written = encode(Reply::Announced([b'h'; 20].into(), answer()));
        assert_eq!(
            written,
            r#"{"action":"announce","info_hash":"hhhhhhhhhhhhhhhhhhhh","interval":120,"complete":1,"incomplete":2,"downloaded":3}"#
        );
        let offer = Introduction {
            info_hash: [b'h'; 20].into(),
            from: [0xFF; 20].into(),
            description: Description {
                offer_id: OfferId([b'o'; 20]),
                sdp: "v=0\r\n".to_owned(),
            },
        };
        assert_eq!(
            encode(Reply::Offer(offer)),
            r#"{"action":"announce","info_hash":"hhhhhhhhhhhhhhhhhhhh","peer_id":"ÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿ","offer_id":"oooooooooooooooooooo","offer":{"type":"offer","sdp":"v=0\r\n"}}"#
        );
        let scraped = ScrapeAnswer {
            files: vec![([b'h'; 20].into(), ScrapeCounts::default())],
            min_request_interval: Some(9),
        };
        assert_eq!(
            encode(Reply::Scraped(scraped)),
            r#"{"action":"scrape","files":{"hhhhhhhhhhhhhhhhhhhh":{"complete":0,"incomplete":0,"downloaded":0}},"flags":{"min_request_interval":9}}"#
        );
        let refused = Reply::Refused {
            action: Action::Announce,
            info_hash: None,
            failure: Failure::new("no").retry(Retry::Never),
        };
        assert_eq!(
            encode(refused),
            r#"{"action":"announce","failure reason":"no","retry in":"never"}"#
        );
    }

    #[test]
    fn answers_of_other_trackers_are_read() {
        let bittorrent_tracker = r#"{"complete":1,"incomplete":2,"action":"announce","interval":120,"info_hash":"hhhhhhhhhhhhhhhhhhhh"}"#;
        let read = decode(bittorrent_tracker.as_bytes()).unwrap();
        let expected = AnnounceAnswer {
            downloaded: None,
            ..answer()
        };
        assert_eq!(read, Reply::Announced([b'h'; 20].into(), expected));
        let unsigned = r#"{"failure reason":"a\u001b[31m"}"#;
        let Reply::Refused { failure, .. } = decode(unsigned.as_bytes()).unwrap() else {
            panic!("it is a refusal");
        };
        assert_eq!(failure.reason, "a [31m");
        for nonsense in [
            "",
            "[]",
            "{}",
            r#"{"info_hash":"hhhhhhhhhhhhhhhhhhhh"}"#,
            r#"{"action":"scrape"}"#,
        ] {
            assert!(decode(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn replies_survive_the_journey(
            (info_hash, peer_id, offer_id) in any::<([u8; 20], [u8; 20], [u8; 20])>(),
            (interval, complete, incomplete) in any::<(u32, u32, u32)>(),
            (downloaded, min_interval) in any::<(u64, Option<u32>)>(),
            (sdp, reason) in any::<(String, String)>(),
        ) {
            let introduction = Introduction {
                info_hash: info_hash.into(),
                from: peer_id.into(),
                description: Description { offer_id: OfferId(offer_id), sdp },
            };
            let counts = ScrapeCounts { complete, incomplete, downloaded, downloaders: min_interval };
            let answer = AnnounceAnswer {
                interval,
                min_interval,
                complete: Some(complete),
                incomplete: Some(incomplete),
                downloaded: Some(downloaded),
                ..AnnounceAnswer::default()
            };
            for reply in [
                Reply::Announced(info_hash.into(), answer),
                Reply::Scraped(ScrapeAnswer { files: vec![(info_hash.into(), counts)], min_request_interval: min_interval }),
                Reply::Offer(introduction.clone()),
                Reply::Answer(introduction),
                Reply::Refused {
                    action: Action::Scrape,
                    info_hash: Some(info_hash.into()),
                    failure: Failure::new(words(reason.as_bytes())).retry(Retry::InMinutes(interval)),
                },
            ] {
                prop_assert_eq!(decode(encode(reply.clone()).as_bytes()).unwrap(), reply);
            }
        }

        #[test]
        fn no_bytes_confuse_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
