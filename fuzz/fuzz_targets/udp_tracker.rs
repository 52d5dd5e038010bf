//! UDP trackers: requests on one side, answers on the other; what is read is written so that it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::id::InfoHash;
use sower::proto::tracker::announce::{AnnounceAnswer, ScrapeAnswer, ScrapeCounts, ScrapeRequest};
use sower::proto::tracker::udp::{
    Action, Answer, Family, MAX_ANSWER, RequestHead, TransactionId, UdpAnnounce, decode_announce,
    decode_answer, decode_scrape, encode_announce, encode_announced, encode_connect,
    encode_connected, encode_failure, encode_scrape, encode_scraped,
};

fn check_request(packet: &[u8]) {
    let Some(head) = RequestHead::decode(packet) else {
        return;
    };
    let mut again = Vec::new();
    match head.action {
        Action::Connect => encode_connect(head.transaction, &mut again),
        Action::Announce => {
            let Ok(announce) = decode_announce(packet) else {
                return;
            };
            let UdpAnnounce { request, .. } = &announce;
            assert!(request.key.is_some() && request.left != Some(u64::MAX));
            encode_announce(&announce, head.connection, head.transaction, &mut again);
            assert_eq!(decode_announce(&again), Ok(announce));
        }
        Action::Scrape => {
            let Ok(scrape) = decode_scrape(packet) else {
                return;
            };
            encode_scrape(&scrape, head.connection, head.transaction, &mut again);
            assert_eq!(again, packet);
        }
        Action::Error => unreachable!("nobody asks for an error"),
    }
    assert_eq!(RequestHead::decode(&again), Some(head));
}

fn write_announced(
    answer: &AnnounceAnswer,
    family: Family,
    transaction: TransactionId,
    out: &mut Vec<u8>,
) {
    encode_announced(answer, family, transaction, out);
    assert!(out.len() <= MAX_ANSWER);
    let Some((_, Answer::Announced(again))) = decode_answer(out, family) else {
        panic!("our own answer is sound");
    };
    let mut written = answer.peers.iter();
    for peer in &again.peers {
        assert!(written.any(|written| written == peer));
    }
    let is_whole = answer.peers.len() <= 60;
    let is_of_family = |address| Family::of(address) == family;
    if is_whole
        && answer
            .peers
            .iter()
            .all(|peer| is_of_family(peer.address.ip()))
    {
        assert_eq!(&again, answer);
    }
}

fn write_scraped(counts: &[ScrapeCounts], transaction: TransactionId, out: &mut Vec<u8>) {
    let info_hashes: Vec<InfoHash> = (0..counts.len())
        .map(|place| {
            let mut info_hash = [0; InfoHash::LENGTH];
            info_hash[..8].copy_from_slice(&place.to_be_bytes());
            info_hash.into()
        })
        .collect();
    let files = info_hashes.iter().copied().zip(counts.iter().copied());
    let answer = ScrapeAnswer {
        files: files.collect(),
        min_request_interval: None,
    };
    encode_scraped(&ScrapeRequest { info_hashes }, &answer, transaction, out);
    let Some((_, Answer::Scraped(again))) = decode_answer(out, Family::V4) else {
        panic!("our own answer is sound");
    };
    assert_eq!(again, counts);
}

fn check_answer(packet: &[u8], family: Family) {
    let Some((transaction, answer)) = decode_answer(packet, family) else {
        return;
    };
    let mut again = Vec::new();
    match &answer {
        Answer::Connected(connection) => encode_connected(*connection, transaction, &mut again),
        Answer::Announced(answer) => write_announced(answer, family, transaction, &mut again),
        Answer::Scraped(counts) => write_scraped(counts, transaction, &mut again),
        Answer::Refused(failure) => {
            encode_failure(failure, transaction, &mut again);
            assert!(again.len() <= MAX_ANSWER);
        }
    }
    let (transaction_again, _) = decode_answer(&again, family).expect("our own answer is sound");
    assert_eq!(transaction_again, transaction);
}

fuzz_target!(|packet: &[u8]| {
    check_request(packet);
    check_answer(packet, Family::V4);
    check_answer(packet, Family::V6);
});
