//! The event log of a job, and the deliveries that events become.

use serde_json::Value;

use super::{Store, Tx};
use crate::{
    database::{dialect::sql, rows::to_json},
    job::{EventKind, Notification, StoreError},
};

impl Store {
    /// Appends an event inside the transaction that made it true.
    pub(super) async fn append(tx: &mut Tx, job: &str, kind: EventKind, data: &Value) -> Result<(), StoreError> {
        let (seq,): (i64,) = sqlx::query_as(sql!(
            "update jobs
             set last_seq = last_seq + 1
             where id = $1
             returning last_seq"
        ))
        .bind(job)
        .fetch_one(tx.conn())
        .await?;
        Self::record(tx, job, seq, kind, data).await
    }

    /// Writes the event of a job whose newest number is this one, and a delivery for each webhook that wants it.
    pub(super) async fn record(
        tx: &mut Tx,
        job: &str,
        seq: i64,
        kind: EventKind,
        data: &Value,
    ) -> Result<(), StoreError> {
        let data = to_json(data)?;
        sqlx::query(sql!(
            "insert into events (job_id, seq, at, kind, data)
             values ($1, $2, {now}, $3, $4)"
        ))
        .bind(job)
        .bind(seq)
        .bind(kind.name())
        .bind(&data)
        .execute(tx.conn())
        .await?;
        if kind != EventKind::Progress {
            let queued = sqlx::query(sql!(
                "insert into deliveries
                   (id, webhook_id, job_id, seq, kind, body, status, attempts, next_at, created_at)
                 select w.id || '.' || $1 || '.' || cast($2 as text), w.id, $1, $2, $3, $4, 'pending', 0, {now}, {now}
                 from webhooks w
                 join jobs j on j.tenant = w.tenant
                 where j.id = $1 and w.events like '%,' || $3 || ',%'"
            ))
            .bind(job)
            .bind(seq)
            .bind(kind.name())
            .bind(&data)
            .execute(tx.conn())
            .await?;
            if queued.rows_affected() > 0 {
                tx.notifications.push(Notification::Delivery);
            }
        }
        if let Ok(id) = job.parse() {
            tx.notifications.push(Notification::Event(id));
        }
        Ok(())
    }
}
