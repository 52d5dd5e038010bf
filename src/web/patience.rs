//! A request's body as it comes in, held to a size and to a pace.
//!
//! A sender may pause for as long as its patience account holds out: waiting for it costs the account, bytes fill it up
//! again. So a short stall of a good connection is forgiven, and a sender that drips a byte a minute is not. Time that
//! the server spends writing to disk costs the sender nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use futures_util::Stream;
use http_body::Body as _;
use tokio::time::Sleep;

use crate::ambient;

/// How slow and how large a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The longest pause of a sender that was fast enough before.
    pub(super) patience: Duration,
    /// Bytes a second that fill the patience account as fast as waiting empties it.
    pub(super) bytes_per_second: u64,
    /// Bytes in the body, at most.
    pub(super) bytes: u64,
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It came too slowly.
    #[error("the body came too slowly")]
    TooSlow,
    /// It is larger than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// What stands before a field's content does not end.
    #[error("the head of a field is too long")]
    LongHead,
    /// The connection or its framing broke.
    #[error("the body broke off")]
    Broken(#[source] axum::Error),
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        Self::other(error)
    }
}

/// A body as a stream of bytes, within limits.
pub(super) struct PatientBody {
    body: BodyDataStream,
    limits: Limits,
    received: u64,
    /// What is left in the patience account.
    left: Duration,
    waiting_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl PatientBody {
    pub(super) fn new(body: Body, limits: Limits) -> Self {
        Self {
            body: body.into_data_stream(),
            limits,
            received: 0,
            left: limits.patience,
            waiting_since: None,
            timer: Box::pin(tokio::time::sleep(limits.patience)),
        }
    }

    /// Takes note of bytes that came after `waited`.
    fn account_for(&mut self, bytes: u64, waited: Duration) -> Result<(), BodyError> {
        self.received = self.received.saturating_add(bytes);
        if self.received > self.limits.bytes {
            return Err(BodyError::TooLarge(self.limits.bytes));
        }
        let earned = bytes
            .saturating_mul(1000)
            .checked_div(self.limits.bytes_per_second)
            .map_or(self.limits.patience, Duration::from_millis);
        self.left = self
            .left
            .saturating_sub(waited)
            .saturating_add(earned)
            .min(self.limits.patience);
        Ok(())
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.waiting_since.is_none() {
            let now = ambient::now();
            self.waiting_since = Some(now);
            let deadline = now.checked_add(self.left).unwrap_or(now);
            self.timer.as_mut().reset(deadline.into());
        }
        self.timer.as_mut().poll(context)
    }
}

impl Stream for PatientBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_next(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                let waited = this.waiting_since.take().map_or(Duration::ZERO, |since| {
                    ambient::now().saturating_duration_since(since)
                });
                let accounted = this.account_for(bytes.len() as u64, waited);
                Poll::Ready(Some(accounted.map(|()| bytes)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Broken(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => this
                .poll_timer(context)
                .map(|()| Some(Err(BodyError::TooSlow))),
        }
    }
}

/// Holds the small bodies of forms to their pace; their size is bounded where they are read.
pub(super) async fn hold_to_pace(State(limits): State<Limits>, request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    request.map(|body| Body::from_stream(PatientBody::new(body, limits)))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::stream;

    use super::*;

    const LIMITS: Limits = Limits {
        patience: Duration::from_mins(1),
        bytes_per_second: 1024,
        bytes: 100_000,
    };

    fn empty() -> PatientBody {
        PatientBody::new(Body::empty(), LIMITS)
    }

    #[tokio::test]
    async fn dripping_empties_the_account_and_bytes_fill_it_up_to_the_bound() {
        let mut body = empty();
        body.account_for(1, Duration::from_secs(59)).unwrap();
        assert!(body.left < Duration::from_millis(1002));
        body.account_for(10 * 1024, Duration::from_secs(1)).unwrap();
        assert_eq!(body.left.as_secs(), 10);
        body.account_for(80_000, Duration::ZERO).unwrap();
        assert_eq!(body.left, LIMITS.patience);
    }

    #[tokio::test]
    async fn refuses_a_byte_too_many() {
        let mut body = PatientBody::new(Body::from(vec![0; 100_001]), LIMITS);
        assert!(matches!(
            body.next().await,
            Some(Err(BodyError::TooLarge(100_000)))
        ));
    }

    #[tokio::test]
    async fn cuts_a_sender_that_stalls() {
        let limits = Limits {
            patience: Duration::from_millis(20),
            ..LIMITS
        };
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
        assert!(matches!(
            PatientBody::new(stalled, limits).next().await,
            Some(Err(BodyError::TooSlow))
        ));
    }
}
