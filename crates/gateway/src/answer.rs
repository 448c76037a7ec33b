//! The body of an answer: a target's, or our own. It is counted as it passes, and the access log's line is
//! written with its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::access_log::Record;
use crate::forward::ResponseBody;

/// See the module.
pub struct AnswerBody {
    inner: Inner,
    passed_on: bool,
    record: Option<Box<Record>>,
}

enum Inner {
    Own(Body),
    /// Without a box around it: that of almost every answer.
    Target(ResponseBody),
}

impl AnswerBody {
    /// A target's.
    pub(crate) fn of_target(body: ResponseBody) -> Self {
        Self {
            inner: Inner::Target(body),
            passed_on: false,
            record: None,
        }
    }

    /// Which security headers the answer has is its target's choice.
    pub(crate) fn pass_on(&mut self) {
        self.passed_on = true;
    }

    /// Whether [`Self::pass_on`] was called.
    pub(crate) fn is_passed_on(&self) -> bool {
        self.passed_on
    }

    /// Empties a body of our own; answers its length, where that is known. A target's is what the target sent.
    pub(crate) fn withhold_own(&mut self) -> Option<u64> {
        let Inner::Own(body) = &mut self.inner else {
            return None;
        };
        std::mem::take(body).size_hint().exact()
    }

    /// Has it counted.
    pub(crate) fn recorded(self, record: Box<Record>) -> Self {
        Self {
            record: Some(record),
            ..self
        }
    }
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerBody")
            .field("of_target", &matches!(self.inner, Inner::Target(_)))
            .finish_non_exhaustive()
    }
}

impl From<Body> for AnswerBody {
    fn from(body: Body) -> Self {
        Self {
            inner: Inner::Own(body),
            passed_on: false,
            record: None,
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match &mut self.inner {
            Inner::Own(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Inner::Target(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
        };
        if let Some(record) = &mut self.record {
            match &frame {
                // It may take long.
                Poll::Pending => record.let_go(),
                Poll::Ready(Some(Ok(frame))) => record.count(frame),
                Poll::Ready(_) => {}
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Own(body) => body.is_end_stream(),
            Inner::Target(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Own(body) => body.size_hint(),
            Inner::Target(body) => body.size_hint(),
        }
    }
}
