//! Doing many things at the same time, but not too many.

use std::future::Future;

use futures_util::StreamExt;
use futures_util::stream;

/// How many guests or machines one task, or the monitor, deals with at the same time.
const AT_THE_SAME_TIME: usize = 64;

/// The outputs of `futures`, in their order, at most `limit` of them at the same time. One that is slow keeps its own
/// place and no other's.
pub(crate) async fn all_within<F: Future>(limit: usize, futures: Vec<F>) -> Vec<F::Output> {
    let numbered: Vec<_> = futures.into_iter().enumerate().map(async |(at, future)| (at, future.await)).collect();
    let mut done: Vec<(usize, F::Output)> = stream::iter(numbered).buffer_unordered(limit).collect().await;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, output)| output).collect()
}

/// The outputs of `futures`, in their order. They are taken as a list, not as a lazy stream: a closure that is kept
/// across an await makes the whole future unfit to be sent to another thread.
pub(crate) async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    stream::iter(futures).buffered(AT_THE_SAME_TIME).collect().await
}
