//! Walks through a magnet link: what it names, and whom one would ask for the rest.
//!
//! `cargo run --no-default-features --example walk_magnet -- 'magnet:?xt=urn:btih:…'`

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use std::error::Error;

use sower::proto::metainfo::magnet::Magnet;

fn main() -> Result<(), Box<dyn Error>> {
    let link = std::env::args().nth(1).ok_or("give a magnet link")?;
    let mut magnet: Magnet = link.parse()?;

    println!(
        "{}",
        magnet.name.as_deref().unwrap_or("a torrent without a name")
    );
    if let Some(v1) = magnet.info_hashes.v1() {
        println!("v1 info-hash {v1}");
    }
    if let Some(v2) = magnet.info_hashes.v2() {
        // Handshakes and announces have room for twenty bytes.
        println!("v2 info-hash {v2}, on the wire {}", v2.truncated());
    }
    for (what, urls) in [
        ("ask the tracker", &magnet.trackers),
        ("ask the peer", &magnet.peers),
        ("download from", &magnet.web_seeds),
    ] {
        for url in urls {
            println!("{what} {url}");
        }
    }
    for places in &magnet.select_only {
        println!("download the files {} to {}", places.start(), places.end());
    }
    for warning in &magnet.warnings {
        println!("warning: {warning}");
    }

    // A link displays as itself, so that a part of it can be passed on.
    magnet.trackers.clear();
    println!("without trackers: {magnet}");
    Ok(())
}
