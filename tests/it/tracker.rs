//! The HTTP tracker as its clients see it (HARDENING, HTTP tracker).
//!
//! The manners of the tracker, and the test that holds each:
//!
//! | manner | test |
//! |---|---|
//! | connection ids are keyed | `tracker::connection_id`: `nobody_can_tell_an_id_ahead`, `an_id_is_of_one_address_whichever_way_it_is_written` |
//! | every refusal has a `failure reason` in words, in bencode, with status 200 | `malformed_announces_are_refused_in_words_and_change_nothing`; `tracker::http`: `refusals_are_bencoded_and_change_nothing` |
//! | `retry in` | `tracker::http`: `refusals_are_bencoded_and_change_nothing`; `ask_commands`: `refusals_are_told_in_the_trackers_words` |
//! | `external ip` | `tracker::http`: `a_first_announce_finds_the_embedded_seed` |
//! | `interval` with jitter and `min interval` | `tracker::service`: `intervals_differ_so_that_peers_do_not_come_in_waves`; `tracker::http`: `a_first_announce_finds_the_embedded_seed` |
//! | `event=paused` | `domain::swarm`: `counts_seeds_partial_seeds_and_downloaders_apart`, `seeds_are_not_handed_to_those_who_want_nothing` |
//! | `compact=0` | `compact_zero_is_answered_with_dictionaries` |
//! | `numwant=0` gives none | `numwant_zero_gives_no_peers` |
//! | a missing port is an error | `malformed_announces_are_refused_in_words_and_change_nothing` |
//! | the asker is never in its own answer | `domain::swarm`: `nobody_is_in_their_own_answer_under_either_family` |
//! | seeds are not handed to seeds | `domain::swarm`: `seeds_are_not_handed_to_those_who_want_nothing`; `websocket_tracker`: `seeds_are_not_introduced_to_seeds_nor_anybody_to_themselves` |
//! | peers are chosen at random | `domain::swarm`: `everybody_is_handed_out_equally_often`; `domain::room`: `everybody_is_chosen_equally_often` |
//! | completed counts are right and survive a restart | `domain::swarm`: `a_download_is_counted_once`; `completed_counts_survive_a_restart`; `websocket_tracker`: `a_download_is_counted_once_whatever_doors_it_is_told_at` |
//! | IPv4 and IPv6 in one process | `both_families_are_one_swarm_behind_one_port` |
//! | one swarm behind HTTP, UDP and WebSocket | `udp_tracker`: `the_one_port_answers_both_ways_with_one_swarm`; `websocket_tracker`: `the_numbers_agree_over_all_doors` |
//! | the embedded seed in every answer, without ever announcing | `the_embedded_seed_is_in_every_answer` |
//! | `X-Forwarded-For` from trusted proxies alone | `proxies`: `a_trusted_proxys_word_counts_whichever_way_the_announce_is_answered`, `a_strangers_word_changes_nothing` |
//! | `ip=` only on private networks, where the configuration lets it | `admission`: `a_claimed_address_counts_only_where_the_configuration_lets_it` |

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use sower::proto::id::InfoHash;

use crate::support::{Server, curl, get};

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "failure reason")]
    failure_reason: Option<String>,
    interval: Option<u32>,
    complete: Option<u32>,
    incomplete: Option<u32>,
    peers: Option<ByteBuf>,
    peers6: Option<ByteBuf>,
}

#[derive(Debug, Deserialize)]
struct Scrape {
    files: BTreeMap<ByteBuf, ScrapedFile>,
}

#[derive(Debug, Deserialize)]
struct ScrapedFile {
    complete: u32,
    downloaded: u32,
    incomplete: u32,
}

fn percent(bytes: &[u8]) -> String {
    percent_encode(bytes, NON_ALPHANUMERIC).to_string()
}

struct Published {
    server: Server,
    info_hash: InfoHash,
}

fn published() -> Published {
    published_on(Server::start())
}

fn published_on(server: Server) -> Published {
    let (status, publication) = server.publish(&server.token(), &[], &[("a", &[5; 40_000])]);
    assert_eq!(status, 201, "{publication}");
    let info_hash = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    Published { server, info_hash }
}

impl Published {
    fn announce_raw(&self, rest: &str) -> Vec<u8> {
        get(&format!(
            "{}/announce?info_hash={}&{rest}",
            self.server.url,
            percent(self.info_hash.as_bytes())
        ))
    }

    fn announce(&self, peer: u8, port: u16, rest: &str) -> Answer {
        let peer_id = percent(&[peer; 20]);
        let bytes = self.announce_raw(&format!(
            "peer_id={peer_id}&port={port}&uploaded=0&downloaded=0&{rest}"
        ));
        serde_bencode::from_bytes(&bytes).unwrap_or_else(|_| panic!("{}", bytes.escape_ascii()))
    }

    fn scrape(&self) -> ScrapedFile {
        let bytes = get(&format!(
            "{}/scrape?info_hash={}",
            self.server.url,
            percent(self.info_hash.as_bytes())
        ));
        let scrape: Scrape = serde_bencode::from_bytes(&bytes).unwrap();
        scrape.files.into_values().next().unwrap()
    }
}

#[test]
fn the_embedded_seed_is_in_every_answer() {
    let swarm = published();
    let answer = swarm.announce(1, 6001, "left=40000&compact=1&event=started");
    assert_eq!((answer.complete, answer.incomplete), (Some(1), Some(1)));
    assert!(answer.interval.unwrap() >= 60);
    let port: u16 = swarm
        .server
        .url
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let seed = [&[127, 0, 0, 1], &port.to_be_bytes()[..]].concat();
    assert_eq!(answer.peers.unwrap().into_vec(), seed);
}

#[test]
fn the_embedded_seed_stays_out_where_the_configuration_says_so() {
    let swarm = published_on(Server::start_with(&[("SOWER_PEER__ADVERTISE", "none")]));
    let answer = swarm.announce(1, 6001, "left=40000&compact=1&event=started");
    assert_eq!((answer.complete, answer.incomplete), (Some(0), Some(1)));
    assert_eq!(answer.peers.unwrap().len(), 0);
}

#[test]
fn both_families_are_one_swarm_behind_one_port() {
    let mut swarm = published_on(Server::start_with(&[
        ("SOWER_LISTEN", "[::]:0"),
        ("SOWER_PEER__ADVERTISE", "[2001:db8::7]:6881"),
    ]));
    let port = swarm.server.url.rsplit(':').next().unwrap().to_owned();
    swarm.server.url = format!("http://127.0.0.1:{port}");
    swarm.announce(1, 6001, "left=40000&compact=1&event=started");
    swarm.server.url = format!("http://[::1]:{port}");
    let answer = swarm.announce(2, 6002, "left=40000&compact=1&event=started");
    assert_eq!((answer.complete, answer.incomplete), (Some(1), Some(2)));
    let peer = [&[127, 0, 0, 1], &6001_u16.to_be_bytes()[..]].concat();
    assert_eq!(answer.peers.unwrap().into_vec(), peer);
    let seed = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
    let seed = [&seed[..], &6881_u16.to_be_bytes()].concat();
    assert_eq!(answer.peers6.unwrap().into_vec(), seed);
}

#[test]
fn peers_find_each_other_and_leave() {
    let swarm = published();
    swarm.announce(1, 6001, "left=40000&compact=1&event=started");
    let second = swarm.announce(2, 6002, "left=40000&compact=1&event=started");
    assert_eq!(second.peers.unwrap().len(), 12);
    swarm.announce(1, 6001, "left=0&compact=1&event=completed");
    let scraped = swarm.scrape();
    assert_eq!(
        (scraped.complete, scraped.incomplete, scraped.downloaded),
        (2, 1, 1)
    );
    swarm.announce(1, 6001, "left=0&event=stopped");
    swarm.announce(2, 6002, "left=40000&event=stopped");
    let scraped = swarm.scrape();
    assert_eq!(
        (scraped.complete, scraped.incomplete, scraped.downloaded),
        (1, 0, 1)
    );
}

#[test]
fn completed_counts_survive_a_restart() {
    let mut swarm = published();
    swarm.announce(1, 6001, "left=40000&event=started");
    swarm.announce(1, 6001, "left=0&event=completed");
    swarm.server = swarm.server.restart();
    assert_eq!(swarm.scrape().downloaded, 1);
}

#[test]
fn compact_zero_is_answered_with_dictionaries() {
    let swarm = published();
    let peer_id = percent(&[1; 20]);
    let bytes = swarm.announce_raw(&format!("peer_id={peer_id}&port=6001&left=1&compact=0"));
    let text = bytes.escape_ascii().to_string();
    assert!(
        text.contains("5:peersl") && text.contains("2:ip9:127.0.0.1") && text.contains("4:port"),
        "{text}"
    );
}

#[test]
fn numwant_zero_gives_no_peers() {
    let swarm = published();
    let answer = swarm.announce(1, 6001, "left=40000&compact=1&numwant=0");
    assert_eq!(answer.peers.map_or(0, |peers| peers.len()), 0);
}

#[test]
fn only_what_is_published_is_tracked() {
    let swarm = published();
    let bytes = get(&format!(
        "{}/announce?info_hash={}&peer_id={}&port=6001&left=1",
        swarm.server.url,
        percent(&[9; 20]),
        percent(&[1; 20])
    ));
    let answer: Answer = serde_bencode::from_bytes(&bytes).unwrap();
    assert!(answer.failure_reason.unwrap().contains("does not know"));
}

#[test]
fn malformed_announces_are_refused_in_words_and_change_nothing() {
    let swarm = published();
    let id = percent(&[1; 20]);
    for bad in [
        format!("peer_id={id}&port=1.5&left=1"),
        format!("peer_id={id}&port=0&left=1"),
        format!("peer_id={id}&port=65536&left=1"),
        format!("peer_id={id}&left=1"),
        "peer_id=short&port=6001&left=1".to_owned(),
        "port=6001&left=1".to_owned(),
        format!("peer_id={id}&port=%ff%ff&left=1"),
    ] {
        let bytes = swarm.announce_raw(&bad);
        let answer: Answer = serde_bencode::from_bytes(&bytes).unwrap();
        assert!(
            answer
                .failure_reason
                .is_some_and(|reason| !reason.is_empty()),
            "{bad}"
        );
    }
    let scraped = swarm.scrape();
    assert_eq!((scraped.complete, scraped.incomplete), (1, 0));
}

#[test]
fn an_announce_is_plain_text_that_nobody_caches() {
    let swarm = published();
    let url = format!(
        "{}/announce?info_hash={}&peer_id={}&port=6001&left=1",
        swarm.server.url,
        percent(swarm.info_hash.as_bytes()),
        percent(&[1; 20])
    );
    let head = String::from_utf8_lossy(&curl(&["-D", "-", "-o", "/dev/null", &url])).to_lowercase();
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-type: text/plain"),
        "{head}"
    );
}
