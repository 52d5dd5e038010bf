//! Changes to what stands around the `info` dictionary of a torrent file.
//!
//! The bytes of `info`, and of every key that no change names, stay as they were, known or not; so the info-hash stays too.
//! Only the order of the keys is put right (BEP 3).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::torrent_file::{TorrentFileError, write_list, write_nodes, write_tiers};
use crate::proto::bencode::Encoder;
use crate::proto::bencode::scan::{self, Limits};

/// What becomes of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It goes.
    Remove,
    /// It gets another value.
    Set(T),
}

/// What becomes of each field around the `info` dictionary. An empty list goes like a removed one.
///
/// ```
/// # use sower::proto::bencode::Limits;
/// # use sower::proto::metainfo::edit::{Change, Changes};
/// let changes = Changes {
///     comment: Change::Set("new".to_owned()),
///     ..Changes::default()
/// };
/// let edited = changes.apply(b"d7:comment3:old4:infode3:xyzi7ee", &Limits::TORRENT_FILE)?;
/// assert_eq!(edited, b"d7:comment3:new4:infode3:xyzi7ee");
/// # Ok::<(), sower::proto::metainfo::torrent_file::TorrentFileError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Tracker URLs in tiers (`announce` and `announce-list`, BEP 12).
    pub trackers: Change<Vec<Vec<String>>>,
    /// Web seeds (`url-list`, BEP 19).
    pub web_seeds: Change<Vec<String>>,
    /// DHT nodes, by host and port (BEP 5).
    pub nodes: Change<Vec<(String, u16)>>,
    /// The publisher's remark.
    pub comment: Change<String>,
    /// The program that made it.
    pub created_by: Change<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Change<i64>,
}

impl Changes {
    /// The torrent file with the changes made.
    ///
    /// # Errors
    /// [`TorrentFileError::Bencode`] where the bytes are none, [`TorrentFileError::TooLarge`] where they are over a limit, [`TorrentFileError::NoInfo`] where they are no torrent.
    pub fn apply(&self, torrent: &[u8], limits: &Limits) -> Result<Vec<u8>, TorrentFileError> {
        let scanned = scan::lenient(torrent, limits).map_err(TorrentFileError::of_scan)?;
        let fields = scanned.root.dict().ok_or(TorrentFileError::NoInfo)?;
        let mut fields: Fields<'_> = fields
            .map(|(key, value)| (key, Cow::Borrowed(value.raw())))
            .collect();
        if !fields.contains_key(b"info".as_slice()) {
            return Err(TorrentFileError::NoInfo);
        }
        self.change_trackers(&mut fields);
        put(&mut fields, b"url-list", &self.web_seeds, |out, urls| {
            (!urls.is_empty()).then(|| write_list(out, urls))
        });
        put(&mut fields, b"nodes", &self.nodes, |out, nodes| {
            (!nodes.is_empty()).then(|| write_nodes(out, nodes))
        });
        if self.comment != Change::Keep {
            // It says the same in another encoding, and readers prefer it.
            fields.remove(b"comment.utf-8".as_slice());
        }
        for (key, text) in [
            (&b"comment"[..], &self.comment),
            (b"created by", &self.created_by),
        ] {
            put(&mut fields, key, text, |out, text| {
                out.text(text);
                Some(())
            });
        }
        put(
            &mut fields,
            b"creation date",
            &self.creation_date,
            |out, seconds| {
                out.integer(*seconds);
                Some(())
            },
        );
        Ok(encode(&fields))
    }

    /// BEP 12: the first tracker stands in `announce` for those who read nothing else.
    fn change_trackers(&self, fields: &mut Fields<'_>) {
        put(fields, b"announce", &self.trackers, |out, tiers| {
            tiers.iter().flatten().next().map(|first| {
                out.text(first);
            })
        });
        put(fields, b"announce-list", &self.trackers, |out, tiers| {
            let is_list = tiers.iter().flatten().nth(1).is_some();
            is_list.then(|| write_tiers(out, tiers))
        });
    }
}

/// The keys of a torrent file in their order, each with its bencoded value.
type Fields<'a> = BTreeMap<&'a [u8], Cow<'a, [u8]>>;

/// Changes one key. `write` writes the value, or gives `None` where nothing is left to say.
fn put<T>(
    fields: &mut Fields<'_>,
    key: &'static [u8],
    change: &Change<T>,
    write: impl FnOnce(&mut Encoder<'_>, &T) -> Option<()>,
) {
    let value = match change {
        Change::Keep => return,
        Change::Remove => None,
        Change::Set(value) => {
            let mut out = Vec::new();
            write(&mut Encoder::new(&mut out), value).map(|()| out)
        }
    };
    match value {
        Some(value) => fields.insert(key, Cow::Owned(value)),
        None => fields.remove(key),
    };
}

fn encode(fields: &Fields<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out);
    encoder.begin_dict();
    for (key, value) in fields {
        encoder.key(key).raw(value);
    }
    encoder.end();
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::info::InfoLimits;
    use super::super::torrent_file::TorrentFile;
    use super::*;
    use crate::proto::bencode::Value;

    /// Strange on purpose: unsorted keys inside, unknown keys outside, an `info` that encodes otherwise when written again.
    const INFO: &str = "d4:name1:a6:lengthi0e12:piece lengthi16384e6:pieces0:1:x1:ye";

    fn torrent() -> Vec<u8> {
        let before = "8:announce8:http://a13:announce-listll8:http://ael8:http://bee";
        let comment = "7:comment3:old13:comment.utf-83:alt10:created by1:p13:creation datei5e";
        let behind = "5:nodesll1:hi1eee8:url-list8:http://w5:xtraslli1eeee";
        format!("d{before}{comment}4:info{INFO}{behind}").into_bytes()
    }

    fn apply(changes: &Changes, torrent: &[u8]) -> Vec<u8> {
        changes.apply(torrent, &Limits::TORRENT_FILE).unwrap()
    }

    fn read(bytes: &[u8]) -> TorrentFile {
        TorrentFile::parse(bytes, &InfoLimits::default()).unwrap()
    }

    fn everything_goes() -> Changes {
        Changes {
            trackers: Change::Remove,
            web_seeds: Change::Set(vec![]),
            nodes: Change::Set(vec![]),
            comment: Change::Remove,
            created_by: Change::Remove,
            creation_date: Change::Remove,
        }
    }

    #[test]
    fn no_change_gives_the_same_bytes() {
        assert_eq!(apply(&Changes::default(), &torrent()), torrent());
    }

    #[test]
    fn what_goes_leaves_the_rest_as_it_was() {
        let bare = format!("d4:info{INFO}5:xtraslli1eeee");
        assert_eq!(apply(&everything_goes(), &torrent()), bare.into_bytes());
    }

    #[test]
    fn what_is_set_is_read_back() {
        let changes = Changes {
            trackers: Change::Set(vec![
                vec!["http://c".to_owned(), "udp://d:1".to_owned()],
                vec!["ws://e".to_owned()],
            ]),
            web_seeds: Change::Set(vec!["https://f/".to_owned()]),
            nodes: Change::Set(vec![("h".to_owned(), 2), ("::1".to_owned(), 3)]),
            comment: Change::Set("ü".to_owned()),
            created_by: Change::Set("q".to_owned()),
            creation_date: Change::Set(-1),
        };
        for before in [torrent(), apply(&everything_goes(), &torrent())] {
            let (before, after) = (read(&before), read(&apply(&changes, &before)));
            assert_eq!(Change::Set(after.trackers), changes.trackers);
            assert_eq!(Change::Set(after.web_seeds), changes.web_seeds);
            assert_eq!(Change::Set(after.nodes), changes.nodes);
            assert_eq!(
                after.comment.map(Change::Set),
                Some(changes.comment.clone())
            );
            assert_eq!(
                after.created_by.map(Change::Set),
                Some(changes.created_by.clone())
            );
            assert_eq!(
                after.creation_date.map(Change::Set),
                Some(changes.creation_date.clone())
            );
            assert_eq!(after.info, before.info);
        }
    }

    #[test]
    fn one_tracker_needs_no_list() {
        let changes = Changes {
            trackers: Change::Set(vec![vec![], vec!["http://c".to_owned()]]),
            ..Changes::default()
        };
        let edited = apply(&changes, &torrent());
        assert!(edited.starts_with(b"d8:announce8:http://c7:comment"));
    }

    #[test]
    fn keys_are_put_in_order_outside_and_left_alone_inside() {
        let unsorted = format!("d4:info{INFO}8:announce8:http://ae\n");
        let sorted = format!("d8:announce8:http://a4:info{INFO}e");
        assert_eq!(
            apply(&Changes::default(), unsorted.as_bytes()),
            sorted.into_bytes()
        );
    }

    #[test]
    fn refuses_what_is_no_torrent() {
        let apply = |bytes: &[u8]| Changes::default().apply(bytes, &Limits::TORRENT_FILE);
        assert_eq!(apply(b"de"), Err(TorrentFileError::NoInfo));
        assert_eq!(apply(b"le"), Err(TorrentFileError::NoInfo));
        assert!(matches!(apply(b"d"), Err(TorrentFileError::Bencode(_))));
    }

    proptest! {
        #[test]
        fn unknown_keys_stay(key in "[a-z]{1,20}", value: Vec<u8>, comment in ".{0,20}") {
            prop_assume!(key != "info" && key != "comment" && key != "nodes" && key != "announce");
            let mut torrent = Vec::new();
            let mut encoder = Encoder::new(&mut torrent);
            encoder.begin_dict();
            let mut keys = [(key.as_str(), &value[..]), ("info", INFO.as_bytes())];
            keys.sort_unstable();
            for (name, value) in keys {
                encoder.key(name);
                if name == "info" { encoder.raw(value); } else { encoder.bytes(value); }
            }
            encoder.end();
            let changes = Changes { comment: Change::Set(comment), ..Changes::default() };
            let edited = apply(&changes, &torrent);
            let root = scan::strict(&edited, &Limits::TORRENT_FILE);
            // The keys inside of `info` are out of order, and stay so.
            prop_assert!(root.is_err());
            let root = scan::lenient(&edited, &Limits::TORRENT_FILE).unwrap().root;
            prop_assert_eq!(root.get(&key).and_then(Value::as_bytes), Some(&value[..]));
            prop_assert_eq!(root.get("info").map(Value::raw), Some(INFO.as_bytes()));
            let removed = Changes { comment: Change::Remove, ..Changes::default() };
            prop_assert_eq!(apply(&removed, &edited), torrent);
        }
    }
}
