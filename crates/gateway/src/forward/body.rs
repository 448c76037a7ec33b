//! Bodies on their way through: frames pass as they come, silence ends them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::access_log::Notes;
use crate::target_group::{Deadline, Lease};

/// Bytes of a body that are kept to be sent again.
const MOST_KEPT: usize = 64 * 1024;

/// Why a body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Nothing came for too long.
    #[error("the body was silent for longer than the idle time-out")]
    Silent,
    /// More than the target group takes.
    #[error("the body is larger than the target group accepts")]
    TooLarge,
    /// The sender broke off, or its framing is wrong.
    #[error("the body cannot be read: {0}")]
    Broken(#[source] BoxError),
}

/// A request body on its way to a target.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Inner,
    silence: Silence,
    /// Set with the first pause.
    deadline: Deadline,
    /// Where its bytes are counted.
    notes: Option<Arc<Notes>>,
    /// How many bytes may still come.
    left: u64,
    /// Dropped with the body: whoever holds the other end learns that it is over.
    over: Option<oneshot::Sender<()>>,
    kept: Option<Kept>,
}

#[derive(Debug)]
enum Inner {
    /// As it comes from the client, without a box around it.
    Client(Incoming),
    Other(Body),
}

/// What has been sent of a body that may have to be sent again.
#[derive(Debug)]
struct Kept {
    sent: VecDeque<Bytes>,
    back: oneshot::Sender<RequestBody>,
}

/// A body whose beginning has been read before.
struct Replayed {
    sent: VecDeque<Bytes>,
    rest: Body,
}

impl RequestBody {
    /// The body that a client sends.
    pub(super) fn of_client(inner: Incoming, idle: Duration, max: u64, notes: &Arc<Notes>) -> Self {
        let mut body = Self::of(Inner::Client(inner), idle, max);
        if !http_body::Body::is_end_stream(&body) {
            body.notes = Some(Arc::clone(notes));
        }
        body
    }

    /// Any other body.
    pub(crate) fn new(inner: Body, idle: Duration, max: u64) -> Self {
        Self::of(Inner::Other(inner), idle, max)
    }

    fn of(inner: Inner, idle: Duration, max: u64) -> Self {
        Self {
            inner,
            silence: Silence::new(idle),
            deadline: Deadline::default(),
            notes: None,
            left: max,
            over: None,
            kept: None,
        }
    }

    /// Resolves to the whole body again when this one is dropped, as long as no more than [`MOST_KEPT`] of it
    /// has been sent, without trailers.
    pub(super) fn keep(&mut self) -> oneshot::Receiver<Self> {
        let (back, receiver) = oneshot::channel();
        let sent = VecDeque::new();
        self.kept = Some(Kept { sent, back });
        receiver
    }

    fn remember(&mut self, frame: &Frame<Bytes>) {
        let Some(kept) = &mut self.kept else { return };
        let held: usize = kept.sent.iter().map(Bytes::len).sum();
        match frame.data_ref() {
            Some(data) if held + data.len() <= MOST_KEPT => kept.sent.push_back(data.clone()),
            _ => self.kept = None,
        }
    }

    /// Resolves, with an error, when the whole body has been sent. `None` when there is none to send.
    pub(super) fn over(&mut self) -> Option<oneshot::Receiver<()>> {
        if http_body::Body::is_end_stream(self) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.over = Some(sender);
        Some(receiver)
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match &mut this.inner {
            Inner::Client(body) => Pin::new(body).poll_frame(context).map_err(BoxError::from),
            Inner::Other(body) => Pin::new(body).poll_frame(context).map_err(BoxError::from),
        };
        let Poll::Ready(frame) = frame else {
            ready!(this.silence.poll(&mut this.deadline, context));
            return Poll::Ready(Some(Err(BodyError::Silent)));
        };
        self.silence.broken();
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(BodyError::Broken)?;
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            if let Some(notes) = &self.notes {
                notes.received(length);
            }
            self.left = self.left.checked_sub(length).ok_or(BodyError::TooLarge)?;
            self.remember(&frame);
            Ok(clean(frame))
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Client(body) => body.is_end_stream(),
            Inner::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Client(body) => body.size_hint(),
            Inner::Other(body) => body.size_hint(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(Kept { sent, back }) = self.kept.take() else {
            return;
        };
        let left = self.left + sent.iter().map(|data| data.len() as u64).sum::<u64>();
        let rest = std::mem::replace(&mut self.inner, Inner::Other(Body::empty()));
        let inner = if sent.is_empty() {
            rest
        } else {
            let rest = match rest {
                Inner::Client(body) => Body::new(body),
                Inner::Other(body) => body,
            };
            Inner::Other(Body::new(Replayed { sent, rest }))
        };
        let mut again = Self::of(inner, self.silence.idle, left);
        again.notes = self.notes.take();
        // Nobody asks for it where the request was answered.
        let _ = back.send(again);
    }
}

impl http_body::Body for Replayed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.sent.pop_front() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sent.is_empty() && self.rest.is_end_stream()
    }
}

/// An answer's body on its way to the client.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    inner: Incoming,
    silence: Silence,
    /// The connection it comes over, until the end.
    lease: Option<Lease>,
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, idle: Duration, lease: Lease) -> Self {
        let mut body = Self {
            inner,
            silence: Silence::new(idle),
            lease: Some(lease),
        };
        // Nobody asks such a body for frames.
        body.done_at_end();
        body
    }

    fn done_at_end(&mut self) {
        if http_body::Body::is_end_stream(&self.inner)
            && let Some(lease) = self.lease.take()
        {
            lease.done();
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Pending => {
                let this = &mut *self;
                // Without a lease the body is over.
                if let Some(lease) = &mut this.lease {
                    ready!(this.silence.poll(&mut lease.deadline, context));
                    return Poll::Ready(Some(Err(BodyError::Silent)));
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.silence.broken();
                self.done_at_end();
                Poll::Ready(Some(Ok(clean(frame))))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Broken(error.into())))),
            Poll::Ready(None) => {
                if let Some(lease) = self.lease.take() {
                    lease.done();
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Trailers may not say what headers may not.
fn clean(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            crate::headers::strip_hop_by_hop(&mut trailers);
            crate::headers::strip_reserved(&mut trailers);
            // It stays as a header, for the gateway to treat.
            trailers.remove("x-forwarded-for");
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// Measures how long nothing has come. Costs nothing where something is always there.
#[derive(Debug)]
struct Silence {
    idle: Duration,
    last: Option<Instant>,
    measured: bool,
}

impl Silence {
    const fn new(idle: Duration) -> Self {
        Self {
            idle,
            last: None,
            measured: false,
        }
    }

    fn broken(&mut self) {
        if self.measured {
            self.last = Some(Instant::now());
        }
    }

    fn poll(&mut self, deadline: &mut Deadline, context: &mut Context<'_>) -> Poll<()> {
        if !self.measured {
            self.measured = true;
            deadline.set(Instant::now() + self.idle);
        }
        loop {
            ready!(deadline.poll(context));
            // Moving the deadline at each frame would cost more than looking at the clock when it is there.
            let Some(last) = self.last.take() else {
                return Poll::Ready(());
            };
            deadline.set(last + self.idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    const IDLE: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn f09_trailers_say_nothing_of_ours() {
        let mut trailers = HeaderMap::new();
        for name in [
            "x-amzn-oidc-data",
            "x_amzn_oidc_identity",
            "x-forwarded-for",
            "connection",
            "grpc-status",
        ] {
            trailers.insert(name, "0".parse().expect("a value"));
        }
        let frames =
            [Frame::data(Bytes::from_static(b"a")), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
        let body = Body::new(StreamBody::new(stream::iter(frames)));
        let passed = RequestBody::new(body, IDLE, 10)
            .collect()
            .await
            .expect("a whole body");
        let left: Vec<_> = passed.trailers().expect("trailers").keys().collect();
        assert_eq!(left, ["grpc-status"]);
        assert_eq!(passed.to_bytes(), "a");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_an_error_and_a_slow_body_is_not() {
        let slow = stream::unfold(0, |n| async move {
            tokio::time::sleep(if n < 5 { IDLE * 3 / 4 } else { IDLE * 3 }).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a"))), n + 1))
        });
        let mut body = RequestBody::new(Body::new(StreamBody::new(slow)), IDLE, 10);
        let started = Instant::now();
        for _ in 0..5 {
            body.frame().await.expect("a frame").expect("in time");
        }
        let error = body.frame().await.expect("a frame").expect_err("silence");
        assert!(matches!(error, BodyError::Silent));
        assert_eq!(started.elapsed().as_millis(), 5 * 750 + 1_000);
    }

    #[tokio::test]
    async fn a_body_has_a_limit() {
        let body = |max| RequestBody::new(Body::from("abc"), IDLE, max).collect();
        assert_eq!(body(3).await.expect("whole").to_bytes(), "abc");
        assert!(matches!(body(2).await, Err(BodyError::TooLarge)));
    }
}
