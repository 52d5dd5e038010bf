//! The way to a socket: a bounded queue, from the tasks of other sockets to the one that writes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

/// Messages that may wait, whatever their size.
const MESSAGES: usize = 256;

/// One end: whoever holds it can send to the socket. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::tracker) struct Line {
    queue: mpsc::Sender<String>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Where the socket's peer is.
    ip: IpAddr,
    /// Bytes that wait. Added to by senders, taken from by the receiver.
    waiting: AtomicUsize,
    most: usize,
}

/// The other end: what waits for the socket.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: mpsc::Receiver<String>,
    shared: Arc<Shared>,
}

/// Lays a line to a peer at `ip`, in which at most `most` bytes wait.
pub(super) fn lay(ip: IpAddr, most: usize) -> (Line, Inbox) {
    let (sender, receiver) = mpsc::channel(MESSAGES);
    let shared = Arc::new(Shared {
        ip,
        waiting: AtomicUsize::new(0),
        most,
    });
    let line = Line {
        queue: sender,
        shared: Arc::clone(&shared),
    };
    let inbox = Inbox {
        queue: receiver,
        shared,
    };
    (line, inbox)
}

impl Line {
    /// Sends a message; gives whether it will be written. It is lost where too much waits already or the socket is
    /// closed: an offer that comes late is of no use to anybody.
    pub(super) fn send(&self, message: String) -> bool {
        let length = message.len();
        let waiting = self.shared.waiting.fetch_add(length, Relaxed);
        let is_sent = waiting.saturating_add(length) <= self.shared.most
            && self.queue.try_send(message).is_ok();
        if !is_sent {
            self.shared.waiting.fetch_sub(length, Relaxed);
        }
        is_sent
    }

    /// Whether both lead to the same socket.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether both lead to the same address.
    pub(super) fn leads_where(&self, other: &Self) -> bool {
        self.shared.ip == other.shared.ip
    }
}

impl Inbox {
    /// The next message. Nothing is lost where the wait is given up.
    pub(super) async fn next(&mut self) -> Option<String> {
        let message = self.queue.recv().await;
        self.taken(message)
    }

    /// The next message, if it is there already.
    pub(super) fn try_next(&mut self) -> Option<String> {
        let message = self.queue.try_recv().ok();
        self.taken(message)
    }

    fn taken(&self, message: Option<String>) -> Option<String> {
        let message = message?;
        self.shared.waiting.fetch_sub(message.len(), Relaxed);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn what_is_too_much_is_lost_and_there_is_room_again() {
        let (line, mut inbox) = lay(HERE, 10);
        assert!(line.send("123456".to_owned()));
        assert!(!line.send("12345".to_owned()));
        assert!(line.send("1234".to_owned()));
        assert_eq!(inbox.next().await.as_deref(), Some("123456"));
        assert!(line.send("12345".to_owned()));
        assert_eq!(inbox.try_next().as_deref(), Some("1234"));
        assert_eq!(inbox.try_next().as_deref(), Some("12345"));
        assert_eq!(inbox.try_next(), None);
    }

    #[test]
    fn many_small_messages_are_too_much_too() {
        let (line, _inbox) = lay(HERE, usize::MAX);
        let sent = (0..1_000).filter(|_| line.send(String::new())).count();
        assert_eq!(sent, MESSAGES);
    }

    #[test]
    fn a_closed_socket_takes_nothing() {
        let (line, inbox) = lay(HERE, 10);
        drop(inbox);
        assert!(!line.send("1".to_owned()));
        assert_eq!(line.shared.waiting.load(Relaxed), 0);
    }
}
