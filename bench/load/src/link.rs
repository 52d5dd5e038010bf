//! A TCP connection from a loopback address of its own, and the epoll that all of them share.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

/// Waits for any of the links.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// A link that is worth looking at.
pub(crate) struct Ready {
    /// The link's number.
    pub(crate) link: usize,
    /// Bytes, the end, or an error can be read.
    pub(crate) readable: bool,
    /// There is room for bytes that could not be sent before.
    pub(crate) writable: bool,
}

/// One connection to the server.
pub(crate) struct Link {
    number: u64,
    stream: TcpStream,
    unsent: Vec<u8>,
    waits_for_room: bool,
}

/// What [`Link::receive`] found.
pub(crate) enum Received {
    /// So many bytes, at the start of the buffer.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The server has closed the connection.
    End,
}

impl Poll {
    const BATCH: usize = 256;

    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(Self::BATCH),
        })
    }

    /// Waits until some links are ready, but not much longer than 20 ms, so that the caller sees the clock.
    pub(crate) fn wait(&mut self) -> Result<impl Iterator<Item = Ready> + use<>> {
        let timeout = Timespec::try_from(Duration::from_millis(20))?;
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        let ready: Vec<Ready> = self.events.iter().map(Ready::from).collect();
        Ok(ready.into_iter())
    }
}

impl From<&Event> for Ready {
    fn from(event: &Event) -> Self {
        let flags = event.flags;
        Self {
            link: usize::try_from(event.data.u64()).unwrap_or(usize::MAX),
            readable: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
            writable: flags.contains(EventFlags::OUT),
        }
    }
}

impl Link {
    /// Connects link `number` from [`address`]`(number)` and has `poll` watch it.
    pub(crate) fn open(poll: &Poll, number: u16, server: SocketAddrV4) -> Result<Self> {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )?;
        let source = SocketAddrV4::new(address(number), 0);
        bind(&socket, &source).with_context(|| format!("cannot bind {source}"))?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot connect to {server}")),
        }
        let number = u64::from(number);
        epoll::add(
            &poll.epoll,
            &socket,
            EventData::new_u64(number),
            EventFlags::IN,
        )?;
        Ok(Self {
            number,
            stream: TcpStream::from(socket),
            unsent: Vec::new(),
            waits_for_room: false,
        })
    }

    /// Sends bytes, or keeps those that the socket has no room for until [`Link::flush`].
    pub(crate) fn send(&mut self, poll: &Poll, bytes: &[u8]) -> Result<()> {
        self.unsent.extend_from_slice(bytes);
        self.flush(poll)
    }

    /// Sends what could not be sent before.
    pub(crate) fn flush(&mut self, poll: &Poll) -> Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                // Linux says "not connected" where a connection is still being made.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    break;
                }
                Err(error) => return Err(error).context("cannot send to the server"),
            }
        }
        self.watch_for_room(poll, !self.unsent.is_empty())
    }

    /// Sends as many of these bytes as the socket has room for, unless others wait still.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if !self.unsent.is_empty() {
            return Ok(0);
        }
        match self.stream.write(bytes) {
            Ok(sent) => Ok(sent),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error).context("cannot send to the server"),
        }
    }

    /// Has the poll tell, or not, when there is room to send.
    pub(crate) fn watch_for_room(&mut self, poll: &Poll, waits_for_room: bool) -> Result<()> {
        if waits_for_room != self.waits_for_room {
            self.waits_for_room = waits_for_room;
            let flags = if waits_for_room {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            epoll::modify(
                &poll.epoll,
                &self.stream,
                EventData::new_u64(self.number),
                flags,
            )?;
        }
        Ok(())
    }

    /// Reads what is there, up to the buffer's size.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<Received> {
        match self.stream.read(buffer) {
            Ok(0) => Ok(Received::End),
            Ok(length) => Ok(Received::Bytes(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) => Err(error).context("cannot receive from the server"),
        }
    }
}

/// The loopback address of link `number`: 127.1.0.1, 127.1.0.2 … 127.1.0.250, 127.1.1.1 …
pub(crate) fn address(number: u16) -> Ipv4Addr {
    let [_, host] = (number % 250 + 1).to_be_bytes();
    let [high, low] = (number / 250).to_be_bytes();
    Ipv4Addr::new(127, 1 + high, low, host)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_link_has_an_address_of_its_own() {
        let all: HashSet<Ipv4Addr> = (0..=u16::MAX).map(address).collect();
        assert_eq!(all.len(), 65536);
        assert!(
            all.iter()
                .all(|address| address.is_loopback() && !matches!(address.octets()[3], 0 | 255))
        );
    }
}
