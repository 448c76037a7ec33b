//! Work that goes on when the one it is done for hangs up.

use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that is finished even when it is dropped half-way: then in a task of its own. A caller that hangs up ends
/// neither an operation nor its audit record; one that waits costs no task.
pub(crate) struct Finished<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Finished<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Finished<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out while it runs: work that panics is not polled again when this is dropped.
        let Some(mut work) = self.0.take() else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(context);
        self.0 = polled.is_pending().then_some(work);
        polled
    }
}

impl<T: Send + 'static> Drop for Finished<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and there is nobody left to do it.
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_answers_whoever_waits() {
        assert_eq!(Finished::new(async { 7 }).await, 7);
    }

    #[tokio::test]
    async fn dropped_half_way_it_goes_on() {
        let (go_on, wait) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let work = Finished::new(async {
            wait.await.expect("the test goes on");
            done.send(7).expect("the test waits");
        });
        let hung_up = tokio::time::timeout(Duration::from_millis(1), work).await;
        assert!(hung_up.is_err(), "it waits");
        go_on.send(()).expect("it was not torn down");
        assert_eq!(finished.await, Ok(7));
    }

    #[tokio::test]
    async fn dropped_before_it_began_it_is_done_all_the_same() {
        let (done, finished) = oneshot::channel();
        drop(Finished::new(async move { done.send(7) }));
        assert_eq!(finished.await, Ok(7));
    }
}
