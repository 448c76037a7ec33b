//! Bodies that are counted as they pass.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Notes, Record};

type Polled = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

/// A request's body.
pub(super) struct Received {
    inner: Body,
    notes: Arc<Notes>,
}

impl Received {
    pub(super) fn new(inner: Body, notes: Arc<Notes>) -> Self {
        Self { inner, notes }
    }
}

/// An answer's body. With its end the line is written.
pub(super) struct Sent {
    inner: Body,
    record: Box<Record>,
}

impl Sent {
    pub(super) fn new(inner: Body, record: Box<Record>) -> Self {
        Self { inner, record }
    }
}

/// Bytes of data in a frame; trailers are few and not counted.
fn length(frame: &Frame<Bytes>) -> u64 {
    frame
        .data_ref()
        .map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX))
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.notes.received.fetch_add(length(frame), Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.record.sent += length(frame);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
