//! The real program, driven from outside over real sockets. One file a flow.

mod download;
mod scripted_seed;
