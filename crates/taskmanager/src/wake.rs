//! What a message leads to: the task it names is offered to the engine.

use async_trait::async_trait;
use redtrove_bus::{Handled, Handler};
use redtrove_engine::ports::WakeUp;
use redtrove_engine::{Engine, Offered};
use tracing::info;

pub(crate) struct Waker(pub(crate) Engine);

#[async_trait]
impl Handler for Waker {
    /// Acknowledged as soon as the claim is in the database. Whatever else happens, the sweeper finds the task.
    async fn handle(&self, wake: WakeUp) -> Handled {
        let (task, request) = (wake.task, &wake.request);
        match self.0.offer(task).await {
            Ok(Offered::Claimed) => {
                info!(task.id = %task, request.id = %request, "a message brought task {task}");
            }
            Ok(Offered::NoRunner) => {
                info!(task.id = %task, request.id = %request, "no runner is free, task {task} is left to a sweeper");
            }
            Ok(Offered::NotClaimable) => {
                info!(task.id = %task, request.id = %request, "task {task} is not to be claimed any more");
            }
            Err(error) => {
                info!(task.id = %task, request.id = %request, %error, "task {task} is left to the sweeper: {error}");
            }
        }
        Handled::Ack
    }
}
