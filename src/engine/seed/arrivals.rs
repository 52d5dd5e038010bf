//! How peers come in: by TCP and uTP, through the handshake, to a place among the peers of their torrent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Engine;
use super::peer::Seeding;
use crate::ambient;
use crate::domain::session::Session;
use crate::domain::torrent::Torrent;
use crate::engine::connection::{Appetite, Connection};
use crate::engine::figures::Count;
use crate::engine::limits::Connections;
use crate::engine::transport::{Received, Stream, UtpPort};

/// Bytes to make room for when reading from a peer: two hundred requests.
const READ_SIZE: usize = 4 * 1024;

impl Engine {
    /// Serves a peer that connected to us, until either side ends it. `received` holds the bytes that came already.
    pub fn serve(
        &self,
        stream: TcpStream,
        received: BytesMut,
        source: SocketAddr,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.attend(stream.into(), received, source, shutdown)
    }

    /// Serves whoever connects over uTP, each in a task of its own, until shutdown.
    pub async fn serve_utp(&self, port: UtpPort, tasks: &TaskTracker, shutdown: CancellationToken) {
        let options = &self.0.options;
        let undecided = Connections::new(options.utp_undecided, options.connections_per_address);
        let patience = Duration::from_secs(options.handshake_timeout);
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = port.accept() => accepted,
            };
            let Some(stream) = accepted else {
                return;
            };
            // The address may be false until something comes from there, so nobody takes a peer's place before that.
            let source = stream.remote_addr();
            let Some(waiting) = undecided.enter(source.ip().to_canonical()) else {
                tracing::debug!(%source, "too many uTP connections have said nothing yet");
                continue;
            };
            let (engine, shutdown) = (self.clone(), shutdown.clone());
            tasks.spawn(async move {
                let mut stream = Stream::from(stream);
                let mut received = BytesMut::new();
                let heard = timeout(patience, stream.receive(&mut received));
                let heard = tokio::select! {
                    () = shutdown.cancelled() => return,
                    heard = heard => heard,
                };
                drop(waiting);
                if let Ok(Ok(())) = heard {
                    engine.attend(stream, received, source, shutdown).await;
                }
            });
        }
    }

    /// A peer may stay for days, and keeps no room for how it was received: hence the boxes. An `async fn` would keep what it was called with
    /// beside what it makes of that.
    fn attend(
        &self,
        stream: Stream,
        received: BytesMut,
        source: SocketAddr,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let engine = self.clone();
        let received = Box::pin(self.clone().receive(stream, received, source));
        async move {
            let Some(_place) = engine.0.connections.enter(source.ip().to_canonical()) else {
                engine.0.figures.add(Count::NoPlace, 1);
                tracing::debug!(%source, "no place for another peer");
                return;
            };
            // Not in an `if let`, which keeps room for what it looks at until its end.
            let Some((received, torrent)) = received.await else {
                return;
            };
            Box::pin(engine.accompany(received, torrent, source, &shutdown)).await;
        }
    }

    /// Shakes hands, and finds the torrent that the peer wants.
    async fn receive(
        self,
        stream: Stream,
        received: BytesMut,
        source: SocketAddr,
    ) -> Option<(Received, Arc<Torrent>)> {
        let (reception, catalog) = (&self.0.reception, &self.0.catalog);
        let answered = reception.answer(stream, received, source.ip(), catalog);
        let received = match answered.await {
            Ok(received) => received,
            Err(error) => {
                self.0.figures.add(Count::NoHandshake, 1);
                tracing::debug!(%source, %error, "no handshake");
                return None;
            }
        };
        let publication = received.publication;
        match catalog.torrent(publication).await {
            Ok(torrent) => Some((received, torrent?)),
            Err(error) => {
                tracing::error!(%publication, %error, "torrent cannot be served");
                None
            }
        }
    }

    /// Serves a peer that has been received, until either side ends it.
    fn accompany<'a>(
        &'a self,
        received: Received,
        torrent: Arc<Torrent>,
        source: SocketAddr,
        shutdown: &'a CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'a {
        let publication = received.publication;
        let peer_id = received.handshake.peer_id;
        let mut connection = self.connect(received, torrent, source);
        async move {
            let Some(connection) = &mut connection else {
                self.0.figures.add(Count::NoPlace, 1);
                return tracing::debug!(%source, %publication, "no place for another peer");
            };
            let closed = connection.run(shutdown).await;
            tracing::debug!(%source, %peer_id, %publication, reason = %closed, "peer has gone");
        }
    }

    /// Takes a peer in among those of its torrent, and greets it; `None` where there is no place.
    fn connect(
        &self,
        received: Received,
        torrent: Arc<Torrent>,
        source: SocketAddr,
    ) -> Option<Connection<'_, Seeding<'_>>> {
        let geometry = torrent.info.geometry;
        let party = Seeding::join(&self.0, torrent, source, &received.stream)?;
        self.0.figures.add(Count::Admitted, 1);
        self.0.figures.note_source(source.ip());
        let reserved = received.handshake.reserved;
        let mut session = Session::new(
            geometry,
            party.told_at_once(),
            reserved,
            Arc::clone(&self.0.session_options),
            ambient::now(),
        );
        if reserved.has_extension_protocol() {
            party.introduce(&mut session, source.ip());
        }
        if reserved.has_dht() {
            party.tell_of_node(&mut session);
        }
        Some(Connection {
            stream: received.stream,
            received: received.rest,
            session,
            party,
            options: &self.0.options,
            read_size: READ_SIZE,
            grant: None,
            appetite: Appetite::default(),
        })
    }
}
