//! Databases that earlier versions left, with jobs in them, opened by this one.

use std::{borrow::Cow, time::Duration};

use ptqd::{
    database::{self, Database},
    job::{JobStatus, ListQuery, Tenant, Worker},
};
use serde_json::json;
use sqlx::{
    AssertSqlSafe, SqlSafeStr,
    migrate::{Migrate, Migration, MigrationType, Migrator},
};

use crate::support::schema;

/// The tables of version 1, as that version made them.
fn version_1(sql: &'static str) -> Migrator {
    let migration = Migration::new(1, Cow::Borrowed("0001_jobs"), MigrationType::Simple, sql.into_sql_str(), false);
    Migrator { migrations: vec![migration].into(), ..Migrator::DEFAULT }
}

/// What version 1 kept of some jobs: one that waits, one that a worker had, one that is done, and two that share a name.
fn rows() -> Vec<String> {
    let id = |n: u32| format!("qj_{n:032x}");
    let spec = |name: &str, labels: &str| {
        format!(
            r#"{{"name":"{name}","model":{{"uri":"file:///m.onnx"}},"quantize":{{"backend":"modelopt"}},"quality_gate":{{"min_output_sqnr_db":null,"max_accuracy_drop":null}},"labels":{labels},"priority":0}}"#
        )
    };
    let artifact = r#"{"name":"model.onnx","size":3,"sha256":"ab","media_type":"application/octet-stream"}"#;
    let result = format!(r#"{{"prefix":"p/q","artifacts":[{artifact}],"summary":{{"x":1}},"quality_gate":null}}"#);
    let row = |n: u32, name: &str, status: &str, more: &str, labels: &str| {
        format!(
            "insert into jobs (id, name, status, spec, warnings, priority, attempt, max_attempts, created_at, run_after, \
             last_seq, result, lease_token, lease_until) values ('{}', '{name}', '{status}', '{}', '[]', 0, {}, 3, {n}, {n}, \
             1, {more})",
            id(n),
            spec(name, labels),
            u32::from(status != "queued"),
        )
    };
    let event = |n: u32| {
        format!(r#"insert into events values ('{}', 1, {n}, 'job.status_changed', '{{"status":"queued"}}')"#, id(n))
    };
    let mut rows = vec![
        row(1, "twin", "queued", "null, null, null", r#"{"team":"vision","odd key":"a''b"}"#),
        row(2, "lost", "running", "null, 'token', 5", "{}"),
        row(3, "done", "succeeded", &format!("'{result}', null, null"), "{}"),
        row(4, "twin", "failed", "null, null, null", "{}"),
    ];
    rows.extend((1..=4).map(event));
    rows
}

async fn opened_by_this_version(database: Database) {
    let tenant = Tenant::default();
    let all = database.jobs.list(&tenant, ListQuery { limit: 9, ..ListQuery::default() }).await.unwrap();
    let statuses: Vec<JobStatus> = all.iter().map(|job| job.status).collect();
    use JobStatus::{Failed, Queued, Running, Succeeded};
    assert_eq!(statuses, [Failed, Succeeded, Running, Queued]);
    assert_eq!(all[0].spec.name.as_deref(), Some("twin"), "what was sent is still shown");
    let named = ListQuery { name: Some("twin".into()), limit: 9, ..ListQuery::default() };
    assert_eq!(database.jobs.list(&tenant, named).await.unwrap().len(), 1, "the newest keeps the name");
    let labelled = |key: &str, value: &str| ListQuery {
        label: Some((key.to_owned(), value.to_owned())),
        backend: Some("modelopt".into()),
        limit: 9,
        ..ListQuery::default()
    };
    for (key, value) in [("team", "vision"), ("odd key", "a'b")] {
        assert_eq!(database.jobs.list(&tenant, labelled(key, value)).await.unwrap().len(), 1, "{key}");
    }
    let done = all[1].result.as_ref().unwrap();
    assert_eq!(done.keys(), ["p/q/model.onnx"]);
    assert_eq!(database.jobs.events(&tenant, &all[3].id, 0, 9).await.unwrap()[0].data, json!({"status": "queued"}));
    // The one whose worker is gone comes first, alone and uncounted; then the one that waits.
    let worker = Worker {
        name: "w".into(),
        memory_bytes: None,
        backends: vec!["modelopt"],
        tenant_limit: None,
        default_timeout: None,
        alone: true,
    };
    let lease = Duration::from_secs(60);
    let first = database.queue.claim(&worker, lease).await.unwrap().unwrap().lease;
    assert_eq!((&first.job, first.attempt), (&all[2].id, 1));
    let second = database.queue.claim(&worker, lease).await.unwrap().unwrap().lease;
    assert_eq!((&second.job, second.attempt), (&all[3].id, 1));
    assert!(database.queue.claim(&worker, lease).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_of_version_1() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("jobs.sqlite").display());
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
    let pool = sqlx::SqlitePool::connect_with(options.create_if_missing(true)).await.unwrap();
    version_1(include_str!("../../migrations/sqlite/0001_jobs.sql")).run(&pool).await.unwrap();
    for row in rows() {
        sqlx::query(AssertSqlSafe(row)).execute(&pool).await.unwrap();
    }
    pool.close().await;
    opened_by_this_version(database::open(&url, 2).await.unwrap()).await;
    // A second time changes nothing, and a database of a later version is not touched.
    let again = database::open(&url, 2).await.unwrap();
    assert_eq!(again.jobs.stats().await.unwrap().tasks_running, 2);
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let later = Migration::new(9999, "later".into(), MigrationType::Simple, "select 1".into_sql_str(), false);
    connection.apply("_sqlx_migrations", &later).await.unwrap();
    assert!(database::open(&url, 2).await.is_err());
}

#[test]
fn postgres_of_version_1() {
    let url = schema("old");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        version_1(include_str!("../../migrations/postgres/0001_jobs.sql")).run(&pool).await.unwrap();
        for row in rows() {
            sqlx::query(AssertSqlSafe(row)).execute(&pool).await.unwrap();
        }
        pool.close().await;
        opened_by_this_version(database::open(&url, 4).await.unwrap()).await;
    });
}
