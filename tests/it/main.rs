//! The real program, driven from outside over real sockets. One file a flow.

#![expect(
    clippy::large_stack_arrays,
    reason = "test content, on a stack with room for it"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod admission;
mod architecture;
mod archives;
mod ask_commands;
mod changed_files;
mod command_line;
mod connection;
mod create_command;
mod details;
mod dht;
mod download;
mod download_command;
mod edit_command;
mod edits;
mod encryption;
mod feed;
mod filters;
mod hostile;
mod idempotency;
mod import;
mod kills;
mod limits;
mod local_publish;
mod magnet_command;
mod particulars;
mod peer;
mod peer_exchange;
mod power_cuts;
mod proxies;
mod publish;
mod publish_command;
mod scripted_seed;
mod scrub;
mod search;
mod show_command;
mod simulation;
mod space;
mod statistics;
mod super_seeding;
mod support;
mod takedowns;
mod tracker;
mod udp_tracker;
mod uploads;
mod utp;
mod v2_peers;
mod verify_command;
mod watch;
mod web_seed;
mod websocket_tracker;
mod wire;
mod withdrawals;
