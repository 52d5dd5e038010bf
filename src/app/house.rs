//! What stands behind the door, on which threads.
//!
//! Connections come in on threads of their own, which answer announces at once and hand everything else over to those
//! that serve peers, uploads and pages. On shared threads an announce would wait behind every block that is being read.

use std::io;
use std::net::UdpSocket;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::{Arrival, Services};
use crate::engine::{Datagram, Engine, UtpPort};
use crate::web;

/// The threads that connections come in on.
pub(super) struct Hall(Option<Runtime>);

impl Hall {
    /// As many threads as there are processors, which sleep as a rule.
    pub(super) fn open() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("sower-door")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where sockets belong to these threads.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // It may be dropped on the thread of another runtime, which must not wait.
            runtime.shutdown_background();
        }
    }
}

/// What stands behind the door.
#[derive(Clone)]
pub(super) struct House {
    pub(super) site: web::Site,
    pub(super) engine: Engine,
    /// The threads for what takes long.
    pub(super) rooms: Handle,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl Services for House {
    async fn http(&self, arrival: Arrival) {
        let Arrival {
            mut stream,
            received,
            source,
        } = arrival;
        let asked = self
            .site
            .answer_announces(&mut stream, received, source, &self.shutdown);
        let Some(received) = asked.await else {
            return;
        };
        let (site, shutdown) = (self.site.clone(), self.shutdown.clone());
        let served = self.hand_over(stream, async move |stream| {
            site.serve(stream, BytesMut::from(received), source, &shutdown)
                .await;
        });
        if let Some(served) = served {
            // A panic has been reported already, and ends this connection alone.
            let _ = served.await;
        }
    }

    async fn peer(&self, arrival: Arrival) {
        let Arrival {
            stream,
            received,
            source,
        } = arrival;
        let (engine, shutdown) = (self.engine.clone(), self.shutdown.clone());
        self.hand_over(stream, move |stream| {
            engine.serve(stream, received, source, shutdown)
        });
    }
}

impl House {
    /// Begins to serve peers over uTP, and gives what takes their packets; `None` where it is turned off.
    pub(super) fn utp(&self, socket: &UdpSocket) -> io::Result<Option<mpsc::Sender<Datagram>>> {
        let options = self.engine.options();
        if !options.utp {
            return Ok(None);
        }
        let (port, packets) = UtpPort::open(socket, options, &self.shutdown)?;
        let (engine, peers, shutdown) = (
            self.engine.clone(),
            self.tasks.clone(),
            self.shutdown.clone(),
        );
        self.tasks
            .spawn(async move { engine.serve_utp(port, &peers, shutdown).await });
        Ok(Some(packets))
    }

    /// Has a connection served by the threads for what takes long; what is given back ends with it.
    fn hand_over<S>(
        &self,
        stream: TcpStream,
        serve: impl FnOnce(TcpStream) -> S,
    ) -> Option<JoinHandle<()>>
    where
        S: Future<Output = ()> + Send + 'static,
    {
        // A stream belongs to the threads that it was made on.
        let moved = stream.into_std().and_then(|stream| {
            let _rooms = self.rooms.enter();
            TcpStream::from_std(stream)
        });
        match moved {
            Ok(stream) => Some(self.tasks.spawn_on(serve(stream), &self.rooms)),
            Err(error) => {
                tracing::debug!(%error, "the connection failed");
                None
            }
        }
    }
}
