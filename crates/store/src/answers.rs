//! Answers that are kept, so that a request which comes again finds the first one.

use redtrove_core::Timestamp;
use redtrove_engine::ports::{ANSWERS_KEPT, KeptAnswer, RequestKey, StoreError, SubmitError};

use crate::backend::{Backend, Columns, SqlStore, printed, values};
use crate::rows;
use crate::session::Tx;

const ANSWER: &str = "SELECT * FROM answers WHERE id = ?";

const SET_ANSWER: &str =
    "UPDATE answers SET body_hash = ?, status = ?, body = ?, task_id = ?, created = ? WHERE id = ?";

const SETTLE: &str = "UPDATE answers SET status = ?, body = ? WHERE id = ? AND status = ?";

const FORGET: &str = "DELETE FROM answers WHERE created <= ?";

/// The status of an answer that hangs on a verdict.
const OPEN: u16 = 0;

impl<B: Backend> SqlStore<B> {
    /// See `Store::answer`.
    pub(crate) async fn read_answer(&self, id: &str) -> Result<Option<KeptAnswer>, StoreError> {
        let Some(row) = self.row(ANSWER, values![id]).await? else { return Ok(None) };
        still_kept(&row, self.clock().await?)
    }

    /// See `Store::settle_answer`.
    pub(crate) async fn close_answer(&self, id: &str, status: u16, body: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(SETTLE, values![u32::from(status), body, id, u32::from(OPEN)]).await?;
        tx.commit().await
    }
}

/// Keeps an answer with what the transaction does, or finds that the request was answered before.
pub(crate) async fn keep_answer<B: Backend>(tx: &mut Tx<B>, answer: Option<&KeptAnswer>) -> Result<(), SubmitError> {
    let Some(answer) = answer else { return Ok(()) };
    hold_answer(tx, &answer.key).await?;
    Ok(write_answer(tx, answer).await?)
}

/// Finds whether the request was answered before. The first statement of its transaction: it holds the row of the key,
/// so that of two at the same time the second waits for the first.
pub(crate) async fn hold_answer<B: Backend>(tx: &mut Tx<B>, key: &RequestKey) -> Result<(), SubmitError> {
    let (id, now) = (key.id.as_str(), tx.now);
    tx.execute(B::KEEP_ANSWER, values![id, now]).await?;
    let row = rows::present(tx.one(ANSWER, values![id]).await?, "answer")?;
    match still_kept(&row, now)? {
        Some(first) => Err(SubmitError::Answered(Box::new(first))),
        None => Ok(()),
    }
}

/// Writes the answer of a key that is held. Answers whose time is over go with it: there is no better moment, as none
/// come to be but here.
pub(crate) async fn write_answer<B: Backend>(tx: &mut Tx<B>, answer: &KeptAnswer) -> Result<(), StoreError> {
    let now = tx.now;
    let values = values![
        answer.key.body.as_str(),
        u32::from(answer.status.unwrap_or(OPEN)),
        answer.body.as_str(),
        answer.task.map(printed),
        now,
        answer.key.id.as_str(),
    ];
    tx.execute(SET_ANSWER, values).await?;
    tx.execute(FORGET, values![expired_before(now)]).await?;
    Ok(())
}

/// Answers of this time and before are not kept any more.
fn expired_before(now: Timestamp) -> i64 {
    let kept = i64::try_from(ANSWERS_KEPT.as_millis()).unwrap_or(i64::MAX);
    now.0.saturating_sub(kept)
}

/// The answer of a row, unless it is too old or is only being given.
fn still_kept(row: &impl Columns, now: Timestamp) -> Result<Option<KeptAnswer>, StoreError> {
    let body_hash = rows::present(rows::text(row, "body_hash")?, "body_hash")?;
    if body_hash.is_empty() || rows::time(row, "created")?.0 <= expired_before(now) {
        return Ok(None);
    }
    Ok(Some(KeptAnswer {
        key: RequestKey { id: rows::present(rows::text(row, "id")?, "id")?, body: body_hash },
        status: Some(rows::number(row, "status")?).filter(|status| *status != OPEN),
        body: rows::present(rows::text(row, "body")?, "body")?,
        task: rows::parsed_or_null(row, "task_id")?,
    }))
}
