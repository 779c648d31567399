//! [`Fleet`]: which workers are alive, and what they are able to do.

use async_trait::async_trait;

use super::Store;
use crate::{
    database::{dialect::sql, tx::bytes},
    job::{Fleet, StoreError, Worker},
};

#[async_trait]
impl Fleet for Store {
    async fn announce(&self, worker: &Worker) -> Result<(), StoreError> {
        sqlx::query(sql!(
            "insert into workers (name, memory_bytes, backends, seen_at)
             values ($1, $2, $3, {now})
             on conflict (name) do update
             set memory_bytes = excluded.memory_bytes, backends = excluded.backends, seen_at = excluded.seen_at"
        ))
        .bind(&worker.name)
        .bind(worker.memory_bytes.map(bytes))
        .bind(format!(",{},", worker.backends.join(",")))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn unregister(&self, worker: &str) -> Result<(), StoreError> {
        sqlx::query(sql!("delete from workers where name = $1")).bind(worker).execute(&self.pool).await?;
        Ok(())
    }

    async fn capable_workers(&self, backend: &str, memory_bytes: u64) -> Result<u64, StoreError> {
        let (count,): (i64,) = sqlx::query_as(sql!(
            "select count(*)
             from workers
             where seen_at > {now} - 60000
               and backends like $1
               and (memory_bytes is null or memory_bytes >= $2)"
        ))
        .bind(format!("%,{backend},%"))
        .bind(bytes(memory_bytes))
        .fetch_one(&self.pool)
        .await?;
        Ok(count.max(0) as u64)
    }
}
