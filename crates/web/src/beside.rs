//! A future beside another one in the same task.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Polls a future only when that future was woken, not whenever the task was. A connection is polled several times a
/// request, while what ends it (a drain, its age, silence) happens once in its life, and asking for it each time would
/// cost more than the request's own timers.
pub(crate) struct Beside<F> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
    /// The task that was last told to `woken`.
    task: Option<Waker>,
}

struct Woken {
    yes: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.yes.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<F: Future> Beside<F> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::new(Woken {
                yes: AtomicBool::new(true),
                task: AtomicWaker::new(),
            }),
            task: None,
        }
    }
}

impl<F: Future> Future for Beside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let task = context.waker();
        if !self.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            self.woken.task.register(task);
            self.task = Some(task.clone());
        }
        // After the task is known: a wake between the two is seen here or wakes the task.
        if !self.woken.yes.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // The wake has taken it, and there may be another.
        self.woken.task.register(task);
        self.woken.yes.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::ready;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_whenever_it_is_woken() {
        let beside = Beside::new(async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let began = tokio::time::Instant::now();
        // The time-out itself polls, at its end.
        tokio::time::timeout(Duration::from_secs(5), beside)
            .await
            .expect("it ends");
        assert!(began.elapsed() < Duration::from_secs(4), "without being woken");
    }

    #[tokio::test]
    async fn it_is_polled_when_it_was_woken_and_not_when_its_neighbour_was() {
        let polls = Arc::new(AtomicUsize::new(0));
        let (sender, mut receiver) = oneshot::channel::<()>();
        let counted = Arc::clone(&polls);
        let mut beside = Beside::new(std::future::poll_fn(move |context| {
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = ready!(Pin::new(&mut receiver).poll(context));
            Poll::Ready(answer.is_ok())
        }));
        for _ in 0..5 {
            let neighbour = tokio::time::sleep(Duration::from_millis(1));
            tokio::select! {
                _ = &mut beside => panic!("nothing was sent"),
                () = neighbour => {}
            }
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        let waiting = tokio::spawn(beside);
        tokio::task::yield_now().await;
        sender.send(()).expect("waited for");
        assert!(waiting.await.expect("no panic"));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
