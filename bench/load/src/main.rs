//! The load that seeders, web seeds and trackers are measured with.
//!
//! One thread, one epoll, plain TCP over loopback; every connection comes from a 127.x.y.z of its own, as
//! peers do. The answer of every request is checked. Each command prints one JSON object whose figures
//! cover the timed part only: what the load got, and what the server's processes spent for it.

mod announce;
mod floor;
mod gauge;
mod http;
mod link;
mod packets;
mod seed;
mod slow;
mod upload;
mod web_seed;
mod websocket;

use std::net::SocketAddrV4;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Download blocks from a seeder at full speed (BEP 3, plain TCP)
    Seed(seed::Options),
    /// Seed one file in the cheapest way there is, for a floor under the figures
    Floor(floor::Options),
    /// Ask a seeder for much and read little (BEP 3, plain TCP), until the standard input ends
    Slow(slow::Options),
    /// Download ranges of one file over HTTP (BEP 19)
    WebSeed(web_seed::Options),
    /// Send many files by tus at once
    Upload(upload::Options),
    /// Announce many peers of many torrents to an HTTP tracker (BEP 3, 23)
    Announce(announce::Options),
    /// Announce many peers of many torrents to a UDP tracker (BEP 15)
    Packets(packets::Options),
    /// Let many peers meet over a WebSocket tracker (WebTorrent)
    Websocket(websocket::Options),
}

/// What every load needs to know: whom to ask, how long, and whose CPU time to read.
#[derive(Args)]
struct Target {
    /// The server's address; loopback only
    #[arg(long, value_name = "IP:PORT", value_parser = loopback)]
    server: SocketAddrV4,
    /// A process of the server, for its CPU time and memory; may be repeated
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
    /// Connections at a time, each from its own loopback address
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Length of the timed part
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    time: Duration,
}

fn main() -> ExitCode {
    let report = match Cli::parse().command {
        Command::Seed(options) => seed::run(&options),
        Command::Slow(options) => slow::run(&options),
        Command::Floor(options) => floor::run(&options),
        Command::WebSeed(options) => web_seed::run(&options),
        Command::Upload(options) => upload::run(&options),
        Command::Announce(options) => announce::run(&options),
        Command::Packets(options) => packets::run(&options),
        Command::Websocket(options) => websocket::run(&options),
    };
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Refuses to aim the load at anybody else's machine.
fn loopback(text: &str) -> Result<SocketAddrV4> {
    let address: SocketAddrV4 = text.parse()?;
    anyhow::ensure!(
        address.ip().is_loopback(),
        "the load stays on loopback: give an address in 127.0.0.0/8"
    );
    Ok(address)
}

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}
