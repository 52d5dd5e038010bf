//! HTTP trackers: announce and scrape queries on one side, answers on the other.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::tracker::http::{PeerFormat, answer};

use sower::proto::tracker::http::query::{
    announce_url, decode_announce, decode_scrape, scrape_url,
};

fn query(url: &str) -> &[u8] {
    url.split_once('?')
        .map_or("", |(_, query)| query)
        .as_bytes()
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok((request, format)) = decode_announce(bytes) {
        let url = announce_url("http://tracker.example/announce", &request, format);
        let (again, format_again) = decode_announce(query(&url)).expect("our own query is sound");
        assert_eq!((again, format_again), (request, format));
    }
    if let Ok(request) = decode_scrape(bytes) {
        let url = scrape_url("http://tracker.example/announce", &request).expect("it has a scrape");
        assert_eq!(decode_scrape(query(&url)).ok(), Some(request));
    }
    if let Ok(answer) = answer::decode_announce(bytes) {
        let again = answer::encode_announce(&answer, PeerFormat::DictionariesWithoutIds);
        answer::decode_announce(&again).expect("our own answer is sound");
    }
    if let Ok(mut answer) = answer::decode_scrape(bytes) {
        let again = answer::decode_scrape(&answer::encode_scrape(&answer));
        // They are written in order, in which other trackers need not have written them.
        answer
            .files
            .sort_unstable_by_key(|(info_hash, _)| *info_hash);
        assert_eq!(again.ok(), Some(answer));
    }
});
