//! Edited torrent files: what a change names is changed, and all else stays as it was, the info dictionary above all.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::bencode::{Limits, Value, scan};
use sower::proto::metainfo::edit::{Change, Changes};
use sower::proto::metainfo::info::InfoLimits;
use sower::proto::metainfo::torrent_file::TorrentFile;

/// The keys that each change is about.
const KEYS: [&[&[u8]]; 6] = [
    &[b"announce", b"announce-list"],
    &[b"url-list"],
    &[b"nodes"],
    &[b"comment", b"comment.utf-8"],
    &[b"created by"],
    &[b"creation date"],
];

/// Two bits for each change: what becomes of the field.
fn change<T>(choices: u16, field: usize, value: T) -> Change<T> {
    match choices >> (2 * field) & 3 {
        0 | 1 => Change::Keep,
        2 => Change::Remove,
        _ => Change::Set(value),
    }
}

fn is_kept<T>(change: &Change<T>) -> bool {
    matches!(change, Change::Keep)
}

/// The fields that no change names, sorted.
fn others<'a>(root: Value<'a>, changes: &Changes) -> Vec<(&'a [u8], Value<'a>)> {
    let kept = [
        is_kept(&changes.trackers),
        is_kept(&changes.web_seeds),
        is_kept(&changes.nodes),
        is_kept(&changes.comment),
        is_kept(&changes.created_by),
        is_kept(&changes.creation_date),
    ];
    let changed = |key: &&[u8]| {
        let mut all = KEYS.iter().zip(kept);
        all.any(|(keys, is_kept)| !is_kept && keys.contains(key))
    };
    let fields = root.dict().expect("a torrent file is a dictionary");
    let mut fields: Vec<_> = fields.filter(|(key, _)| !changed(key)).collect();
    fields.sort_unstable_by_key(|(key, _)| *key);
    fields
}

fn check_read_again(before: &TorrentFile, edited: &[u8], changes: &Changes) {
    let after = TorrentFile::parse(edited, &InfoLimits::default()).expect("it could be read");
    assert_eq!(after.info, before.info);
    assert_eq!(after.piece_layers, before.piece_layers);
    if let Change::Set(comment) = &changes.comment {
        assert_eq!(after.comment.as_ref(), Some(comment));
    }
    if let Change::Set(program) = &changes.created_by {
        assert_eq!(after.created_by.as_ref(), Some(program));
    }
    if let Change::Set(seconds) = changes.creation_date {
        assert_eq!(after.creation_date, Some(seconds));
    }
    if changes.trackers == Change::Remove {
        assert!(after.trackers.is_empty());
    }
    if changes.web_seeds == Change::Remove {
        assert!(after.web_seeds.is_empty());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    // Behind the torrent file stands what is to become of it.
    let Ok((_, wishes)) = scan::prefix(bytes, &limits) else {
        return;
    };
    let (choices, words) = wishes.split_first_chunk().unwrap_or((&[0; 2], &[]));
    let choices = u16::from_be_bytes(*choices);
    let words = str::from_utf8(words).unwrap_or_default();
    let number = i64::from(choices).wrapping_mul(i64::MAX / 999);
    let lines = || words.lines().map(str::to_owned);
    let tiers = words.split("\n\n");
    let tiers = tiers.map(|tier| tier.lines().map(str::to_owned).collect());
    let changes = Changes {
        trackers: change(choices, 0, tiers.collect()),
        web_seeds: change(choices, 1, lines().collect()),
        nodes: change(choices, 2, lines().map(|host| (host, 1)).collect()),
        comment: change(choices, 3, words.to_owned()),
        created_by: change(choices, 4, words.to_owned()),
        creation_date: change(choices, 5, number),
    };
    let limits = Limits::default();
    let Ok(edited) = changes.apply(bytes, &limits) else {
        return;
    };
    let before = scan::lenient(bytes, &limits)
        .expect("it could be read")
        .root;
    let after = scan::lenient(&edited, &limits).expect("what we write can be read");
    assert!(!after.has_trailing_newline);
    let fields = after.root.dict().expect("it was one before");
    assert!(fields.is_sorted_by_key(|(key, _)| key));
    assert_eq!(others(after.root, &changes), others(before, &changes));
    assert_eq!(changes.apply(&edited, &limits), Ok(edited.clone()));
    if let Ok(torrent) = TorrentFile::parse(before.raw(), &InfoLimits::default()) {
        check_read_again(&torrent, &edited, &changes);
    }
});
