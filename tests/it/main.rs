//! The real program, driven from outside over real sockets. One file a flow.

mod architecture;
mod command_line;
mod download;
mod peer;
mod publish;
mod scripted_seed;
mod support;
mod tracker;
mod web_seed;
mod wire;
