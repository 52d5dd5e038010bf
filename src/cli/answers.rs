//! What trackers said, for people and for scripts.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use crate::discovery::trackers::AskError;
use crate::proto::id::{InfoHash, PeerId};
use crate::proto::tracker::announce::{AnnounceAnswer, Peer, Retry, ScrapeAnswer};

/// What came of asking all trackers.
pub(super) struct Report<T> {
    pub(super) info_hashes: Vec<InfoHash>,
    /// In the order of the torrent.
    pub(super) trackers: Vec<Asked<T>>,
}

/// What came of asking one tracker.
pub(super) struct Asked<T> {
    /// From 1.
    pub(super) tier: u32,
    pub(super) url: String,
    pub(super) took: Duration,
    /// Whether the tracker forgets us; `None` where there was nothing to forget.
    pub(super) has_left: Option<bool>,
    pub(super) outcome: Outcome<T>,
}

pub(super) enum Outcome<T> {
    Answered {
        answer: T,
        /// Fields that no specification names.
        others: Vec<(String, String)>,
        address: Option<SocketAddr>,
    },
    Failed(AskError),
}

/// An answer that can be told.
pub(super) trait Words {
    /// Label and value, line by line.
    fn lines(&self) -> Vec<(String, String)>;
    /// Its fields.
    fn json(&self) -> Map<String, Value>;
}

impl<T: Words> Report<T> {
    /// Whether any tracker answered.
    pub(super) fn has_answer(&self) -> bool {
        self.trackers
            .iter()
            .any(|asked| matches!(asked.outcome, Outcome::Answered { .. }))
    }

    pub(super) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for (number, asked) in self.trackers.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            asked.write_text(out)?;
        }
        Ok(())
    }

    pub(super) fn to_json(&self) -> Value {
        let hashes: Vec<_> = self.info_hashes.iter().map(ToString::to_string).collect();
        let trackers: Vec<_> = self.trackers.iter().map(Asked::to_json).collect();
        json!({"info_hashes": hashes, "trackers": trackers})
    }
}

impl<T: Words> Asked<T> {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |label: &str, value: &str| writeln!(out, "{label:<14}{}", printable(value));
        line(&format!("tracker {}", self.tier), &self.url)?;
        let took = format!("{} ms", self.took.as_millis());
        match &self.outcome {
            Outcome::Answered {
                answer,
                others,
                address,
            } => {
                let from = address.map_or_else(String::new, |address| format!(", from {address}"));
                line("answered", &format!("in {took}{from}"))?;
                for (label, value) in answer.lines().iter().chain(others) {
                    line(label, value)?;
                }
            }
            Outcome::Failed(error) => {
                let verb = if error.refusal().is_some() {
                    "refused"
                } else {
                    "failed"
                };
                line(verb, &format!("after {took}: {}", error.in_words()))?;
                match error.retry() {
                    Some(Retry::InMinutes(minutes)) => {
                        line("ask again", &format!("in {minutes} minutes"))?;
                    }
                    Some(Retry::Never) => line("ask again", "never")?,
                    None => {}
                }
            }
        }
        match self.has_left {
            Some(true) => line("left", "the tracker was told, and forgets this announce"),
            Some(false) => line(
                "not left",
                "the tracker could not be told, and lists this announce until it forgets it",
            ),
            None => Ok(()),
        }
    }

    fn to_json(&self) -> Value {
        let milliseconds = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        let mut fields = json!({"tier": self.tier, "url": self.url, "milliseconds": milliseconds});
        let (key, value) = match &self.outcome {
            Outcome::Answered {
                answer,
                others,
                address,
            } => {
                fields["address"] = json!(address);
                fields["left"] = json!(self.has_left);
                let mut answer = answer.json();
                let others = others.iter().cloned();
                let others = others.map(|(key, value)| (key, Value::from(value)));
                answer.insert("others".to_owned(), Value::Object(others.collect()));
                ("answer", Value::Object(answer))
            }
            Outcome::Failed(error) => {
                let retry = error.retry().map(|retry| match retry {
                    Retry::InMinutes(minutes) => json!(minutes),
                    Retry::Never => json!("never"),
                });
                let is_refusal = error.refusal().is_some();
                let reason = match error.refusal() {
                    Some(failure) => failure.reason.to_string(),
                    None => error.in_words(),
                };
                let failure = json!({"reason": reason, "refused": is_refusal, "retry_in": retry});
                ("failure", failure)
            }
        };
        fields[key] = value;
        fields
    }
}

impl Words for AnnounceAnswer {
    fn lines(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let mut known = |label: &str, value: Option<String>| {
            lines.extend(value.map(|value| (label.to_owned(), value)));
        };
        known("seeders", self.complete.map(|count| count.to_string()));
        known("leechers", self.incomplete.map(|count| count.to_string()));
        known("completed", self.downloaded.map(|count| count.to_string()));
        known("interval", Some(duration(self.interval)));
        known("at least", self.min_interval.map(duration));
        known("your address", self.external_ip.map(|ip| ip.to_string()));
        known("warning", self.warning.clone());
        known("peers", Some(self.peers.len().to_string()));
        lines.extend(self.peers.iter().map(|peer| {
            let id = peer
                .id
                .map_or_else(String::new, |id| format!("  {}", id_words(id)));
            ("  peer".to_owned(), format!("{}{id}", peer.address))
        }));
        lines
    }

    fn json(&self) -> Map<String, Value> {
        let peer = |peer: &Peer| {
            let id = peer.id.map(|id| HEXLOWER.encode(id.as_bytes()));
            json!({"address": peer.address, "peer_id": id})
        };
        let fields = json!({
            "complete": self.complete,
            "incomplete": self.incomplete,
            "downloaded": self.downloaded,
            "interval": self.interval,
            "min_interval": self.min_interval,
            "external_ip": self.external_ip,
            "warning": self.warning,
            "peers": self.peers.iter().map(peer).collect::<Vec<_>>(),
        });
        object(fields)
    }
}

impl Words for ScrapeAnswer {
    fn lines(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        if self.files.is_empty() {
            lines.push((
                "torrents".to_owned(),
                "none of these is known here".to_owned(),
            ));
        }
        for (info_hash, counts) in &self.files {
            let mut line = |label: &str, value| lines.push((label.to_owned(), value));
            line("torrent", info_hash.to_string());
            line("seeders", counts.complete.to_string());
            let downloaders = counts
                .downloaders
                .filter(|count| *count != counts.incomplete);
            let of_them = downloaders.map_or_else(String::new, |count| {
                format!(", {count} of them downloading")
            });
            line("leechers", format!("{}{of_them}", counts.incomplete));
            line("completed", counts.downloaded.to_string());
        }
        if let Some(seconds) = self.min_request_interval {
            lines.push(("at least".to_owned(), duration(seconds)));
        }
        lines
    }

    fn json(&self) -> Map<String, Value> {
        let files = self.files.iter().map(|(info_hash, counts)| {
            let counts = json!({
                "complete": counts.complete,
                "incomplete": counts.incomplete,
                "downloaded": counts.downloaded,
                "downloaders": counts.downloaders,
            });
            (info_hash.to_string(), counts)
        });
        let files: Map<String, Value> = files.collect();
        object(json!({"files": files, "min_request_interval": self.min_request_interval}))
    }
}

fn object(fields: Value) -> Map<String, Value> {
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Seconds as people say them.
fn duration(seconds: u32) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// A peer's id as text where it is text, else in hexadecimal digits.
fn id_words(id: PeerId) -> String {
    let bytes = id.as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => text.to_owned(),
        _ => HEXLOWER.encode(bytes),
    }
}

/// What a tracker says goes to a terminal, so control characters are taken out.
fn printable(value: &str) -> String {
    value.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (1_805, "30 min 5 s"),
        ] {
            assert_eq!(duration(seconds), words);
        }
    }

    #[test]
    fn ids_are_text_where_they_can_be() {
        assert_eq!(
            id_words((*b"-TR3000-abcdefghijkl").into()),
            "-TR3000-abcdefghijkl"
        );
        assert_eq!(id_words([7; 20].into()), "07".repeat(20));
    }
}
