//! Doing many things at the same time, but not too many.

use std::future::Future;

use futures_util::StreamExt;
use futures_util::stream;

/// How many guests or machines one task, or the monitor, deals with at the same time.
const AT_THE_SAME_TIME: usize = 64;

/// The outputs of `futures`, in their order. They are taken as a list, not as a lazy stream: a closure that is kept
/// across an await makes the whole future unfit to be sent to another thread.
pub(crate) async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    stream::iter(futures).buffered(AT_THE_SAME_TIME).collect().await
}
