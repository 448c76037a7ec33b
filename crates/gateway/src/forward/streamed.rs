//! A body on its way through: frames pass as they come, trailers do not, silence ends it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// Nothing came for too long.
#[derive(Debug, thiserror::Error)]
#[error("the body was silent for longer than the idle time-out")]
pub(super) struct Silent;

/// See the module.
#[derive(Debug)]
pub(super) struct Streamed {
    inner: Body,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    /// Dropped with the body: whoever holds the other end learns that it is over.
    _over: Option<oneshot::Sender<()>>,
}

impl Streamed {
    pub(super) fn new(inner: Body, idle: Duration, over: Option<oneshot::Sender<()>>) -> Self {
        Self {
            inner,
            idle,
            deadline: Box::pin(tokio::time::sleep(idle)),
            _over: over,
        }
    }
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match Pin::new(&mut self.inner).poll_frame(context) {
                // Trailers could carry what the gateway strips from headers.
                Poll::Ready(Some(Ok(frame))) if !frame.is_data() => {}
                Poll::Ready(frame) => {
                    let next = Instant::now() + self.idle;
                    self.deadline.as_mut().reset(next);
                    return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
                }
                Poll::Pending => {
                    ready!(self.deadline.as_mut().poll(context));
                    return Poll::Ready(Some(Err(Silent.into())));
                }
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[tokio::test]
    async fn f09_trailers_do_not_pass() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-amzn-oidc-data", "spoofed".parse().expect("a value"));
        let frames =
            [Frame::data(Bytes::from_static(b"a")), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
        let body = Body::new(StreamBody::new(stream::iter(frames)));
        let passed = Streamed::new(body, Duration::from_secs(1), None)
            .collect()
            .await
            .expect("a whole body");
        assert!(passed.trailers().is_none());
        assert_eq!(passed.to_bytes(), "a");
    }

    #[tokio::test]
    async fn silence_is_an_error() {
        let body = Body::new(StreamBody::new(
            stream::pending::<Result<Frame<Bytes>, Infallible>>(),
        ));
        let error = Streamed::new(body, Duration::from_millis(20), None)
            .collect()
            .await
            .expect_err("silence");
        assert!(error.is::<Silent>());
    }
}
