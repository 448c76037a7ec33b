//! The trace that a request belongs to (W3C Trace Context), from the request that came in to those that go out.
//!
//! A trace that somebody else has begun is passed on as it came, whether or not this process makes spans of its own.
//! Whether it does is the executable's business: it [`install`]s what turns `tracing` spans into spans of the trace.
//! Without that nothing is made here, and a request without `traceparent` costs a look at its headers.

use std::fmt;
use std::future::Future;
use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::{Instrument as _, Span};

/// `traceparent`.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A place in a trace: what a `traceparent` says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, not all zero.
    pub trace_id: [u8; 16],
    /// 8 bytes, not all zero.
    pub span_id: [u8; 8],
    /// Whether whoever began it keeps it.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads the one `traceparent` of a request; `None` when there is none or it is not valid (W3C Trace Context,
    /// section 3.2; of versions after 00 the same beginning).
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.to_str().ok()?),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version] = bytes(parts.next()?)?;
        let context = Self {
            trace_id: bytes(parts.next()?)?,
            span_id: bytes(parts.next()?)?,
            sampled: bytes::<1>(parts.next()?)?[0] & 1 == 1,
        };
        let ends = version != 0 || parts.next().is_none();
        let named = context.trace_id != [0; 16] && context.span_id != [0; 8];
        (version != 0xff && ends && named).then_some(context)
    }

    /// The trace's id, 32 hexadecimal digits, as audit records carry it.
    #[must_use]
    pub fn trace_id(&self) -> String {
        hex(&self.trace_id)
    }

    /// The `traceparent` that makes the receiver's part a child of this place.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (hex(&self.trace_id), hex(&self.span_id));
        write!(f, "00-{trace}-{span}-0{}", u8::from(self.sampled))
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Exactly `N` bytes in lower-case hexadecimal.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !lower || text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // A String takes everything.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Turns `tracing` spans into spans of a trace.
pub trait Tracing: Send + Sync + 'static {
    /// Makes `span`, which has just been made, a child of a place in another process.
    fn adopt(&self, span: &Span, parent: &TraceContext);
    /// Where `span` is; `None` when it is in no trace.
    fn context(&self, span: &Span) -> Option<TraceContext>;
}

static TRACING: OnceLock<Box<dyn Tracing>> = OnceLock::new();

/// Sets what makes spans, for the whole process. The first one stays.
pub fn install(tracing: impl Tracing) {
    let _ = TRACING.set(Box::new(tracing));
}

/// Whether this process makes spans.
#[must_use]
pub fn is_on() -> bool {
    TRACING.get().is_some()
}

tokio::task_local! {
    /// What came with the request, where this process makes no span of it.
    static CAME: TraceContext;
}

/// Where the caller is: in the span under way, or in the trace that the request came with.
#[must_use]
pub fn current() -> Option<TraceContext> {
    let own = TRACING
        .get()
        .and_then(|tracing| tracing.context(&Span::current()));
    own.or_else(|| CAME.try_with(|came| *came).ok())
}

/// The id of the trace that the caller is in, for its audit record.
#[must_use]
pub fn current_id() -> Option<String> {
    current().as_ref().map(TraceContext::trace_id)
}

/// Does `work` as part of the trace that a request came with. `span` makes the span of it; it is called only where spans
/// are made.
pub async fn within<F: Future>(
    came: Option<TraceContext>,
    span: impl FnOnce() -> Span,
    work: F,
) -> F::Output {
    let Some(tracing) = TRACING.get() else {
        return match came {
            None => work.await,
            Some(came) => Box::pin(CAME.scope(came, work)).await,
        };
    };
    let span = span();
    if let Some(came) = &came {
        tracing.adopt(&span, came);
    }
    Box::pin(work.instrument(span)).await
}

/// `work` as part of the caller's trace, for a task of its own.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let came = CAME.try_with(|came| *came).ok();
    let work = work.in_current_span();
    async move {
        match came {
            None => work.await,
            Some(came) => CAME.scope(came, work).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context = TraceContext::parse(VALID).expect("valid");
        assert_eq!(context.to_string(), VALID);
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let later = VALID.replacen("00-", "01-", 1) + "-more";
        assert_eq!(TraceContext::parse(&later), Some(context), "a later version");
        for bad in [
            "",
            "00",
            &VALID.to_uppercase(),
            &VALID.replacen("00-", "ff-", 1),
            &(VALID.to_owned() + "-more"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert_eq!(TraceContext::of(&headers), Some(context));
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert_eq!(TraceContext::of(&headers), None, "two of them say nothing");
    }

    #[tokio::test]
    async fn what_came_is_carried_into_tasks_where_no_spans_are_made() {
        let context = TraceContext::parse(VALID).expect("valid");
        let inside = within(Some(context), Span::none, async {
            let task = tokio::spawn(carried(async { current() }));
            let lost = tokio::spawn(async { current() });
            (current(), task.await.expect("ends"), lost.await.expect("ends"))
        });
        assert_eq!(inside.await, (Some(context), Some(context), None));
        assert_eq!(current(), None);
        assert_eq!(within(None, Span::none, async { current() }).await, None);
    }
}
