//! The conformance suite of the job store, run on both databases.

use std::{sync::Arc, time::Duration};

use ptqd::{
    control::Progress,
    fault::Warning,
    job::{
        Claim, Cursor, Event, EventKind, Failure, Finish, JobId, JobResult, JobSpec, JobStatus, JobStore, ListQuery,
        NewJob, Update,
    },
    store,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::needed;

const LEASE: Duration = Duration::from_secs(60);
/// Long enough to be granted and gone before the next statement that needs it gone.
const SHORT: Duration = Duration::from_millis(1);

type Store = Arc<dyn JobStore>;

fn new_job(priority: i32) -> NewJob {
    let spec: JobSpec = serde_json::from_value(json!({
        "model": {"uri": "file:///m.onnx"}, "quantize": {"backend": "modelopt"}, "priority": priority,
        "max_attempts": 2, "labels": {"team": "vision"}}))
    .expect("a job");
    NewJob { id: JobId::from_uuid(Uuid::now_v7().as_u128()), spec, warnings: vec![Warning::new("w", "told at once")] }
}

fn result() -> JobResult {
    JobResult { prefix: "p".into(), artifacts: vec![], summary: json!({"x": 1}), quality_gate: Value::Null }
}

async fn claim(store: &Store) -> Claim {
    store.claim("w", LEASE).await.expect("the store").expect("a job")
}

async fn status(store: &Store, id: &JobId) -> JobStatus {
    store.get(id).await.expect("the store").expect("the job").status
}

async fn events(store: &Store, id: &JobId) -> Vec<Event> {
    store.events(id, 0, 1000).await.expect("the store")
}

async fn a_job_goes_from_queue_to_result(store: Store) {
    let job = store.create(new_job(0)).await.unwrap();
    assert_eq!((job.status, job.attempt, job.max_attempts), (JobStatus::Queued, 0, 2));
    assert_eq!(job.labels()["team"], "vision");
    let Claim { lease, spec, max_attempts } = claim(&store).await;
    assert_eq!((&lease.job, lease.attempt, max_attempts), (&job.id, 1, 2));
    assert_eq!(spec, job.spec);
    assert!(store.claim("other", LEASE).await.unwrap().is_none(), "one worker at a time");

    let progress = Progress { units_done: 1, units_total: 2, unit: "layers".into(), eta_seconds: Some(0.5) };
    let told = Warning::new("late", "told later");
    for update in [
        Update::Phase("quantizing".into()),
        Update::Progress("quantizing".into(), progress.clone()),
        Update::Plan(json!({"plan": []})),
        Update::Warning(told.clone()),
        Update::Warning(told.clone()),
    ] {
        assert!(store.update(&lease, update).await.unwrap());
    }
    assert!(store.heartbeat(&lease, LEASE).await.unwrap());
    let running = store.get(&job.id).await.unwrap().unwrap();
    assert_eq!((running.status, running.phase.as_deref()), (JobStatus::Running, Some("quantizing")));
    assert_eq!((running.progress, running.plan), (Some(progress), Some(json!({"plan": []}))));
    assert_eq!(running.warnings, [Warning::new("w", "told at once"), told]);

    assert!(store.finish(&lease, Finish::Succeeded(result())).await.unwrap());
    let done = store.get(&job.id).await.unwrap().unwrap();
    assert_eq!((done.status, done.result), (JobStatus::Succeeded, Some(result())));
    assert!(done.finished_at >= done.started_at && done.started_at >= Some(done.created_at));
    assert!(!store.finish(&lease, Finish::Released).await.unwrap(), "what has ended stays ended");
    assert!(!store.heartbeat(&lease, LEASE).await.unwrap());

    let log = events(&store, &job.id).await;
    assert_eq!(log.iter().map(|e| e.seq).collect::<Vec<_>>(), (1..=log.len() as i64).collect::<Vec<_>>());
    let kinds: Vec<_> = log.iter().map(|e| e.kind).collect();
    use EventKind::{Phase, Progress as Made, StatusChanged, Warning as Told};
    assert_eq!(kinds, [StatusChanged, StatusChanged, Phase, Made, Told, StatusChanged]);
    assert_eq!(store.events(&job.id, 4, 1).await.unwrap(), log[4..5]);
}

async fn a_lost_lease_is_taken_over_and_its_holder_fenced_off(store: Store) {
    let job = store.create(new_job(0)).await.unwrap();
    let first = store.claim("a", SHORT).await.unwrap().unwrap().lease;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = claim(&store).await.lease;
    assert_eq!((second.attempt, &second.job), (2, &job.id));
    let before = events(&store, &job.id).await;
    assert!(!store.heartbeat(&first, LEASE).await.unwrap());
    assert!(!store.update(&first, Update::Phase("x".into())).await.unwrap());
    assert!(!store.update(&first, Update::Warning(Warning::new("x", "x"))).await.unwrap());
    assert!(!store.finish(&first, Finish::Succeeded(result())).await.unwrap());
    assert_eq!(events(&store, &job.id).await, before, "the fenced-off worker wrote nothing");
    assert!(store.finish(&second, Finish::Succeeded(result())).await.unwrap());
    assert_eq!(status(&store, &job.id).await, JobStatus::Succeeded);
}

async fn a_job_that_loses_every_worker_fails(store: Store) {
    let job = store.create(new_job(0)).await.unwrap();
    for _ in 0..2 {
        store.claim("w", SHORT).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.claim("w", LEASE).await.unwrap().is_none());
    let dead = store.get(&job.id).await.unwrap().unwrap();
    assert_eq!((dead.status, dead.error.map(|e| e.code)), (JobStatus::Failed, Some("worker_lost".to_owned())));
    assert_eq!(events(&store, &job.id).await.last().unwrap().data["status"], "failed");
}

async fn failures_are_kept_and_retries_wait(store: Store) {
    let job = store.create(new_job(0)).await.unwrap();
    let failure = Failure::plain("disk_full", "no space", true);
    let lease = claim(&store).await.lease;
    assert!(store.finish(&lease, Finish::Retry(failure.clone(), Duration::from_millis(300))).await.unwrap());
    let waiting = store.get(&job.id).await.unwrap().unwrap();
    assert_eq!((waiting.status, waiting.error, waiting.finished_at), (JobStatus::Queued, Some(failure), None));
    assert!(store.claim("w", LEASE).await.unwrap().is_none(), "not before its time");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let lease = claim(&store).await.lease;
    assert_eq!(lease.attempt, 2);
    let last = Failure::plain("model_corrupt", "broken", false);
    assert!(store.finish(&lease, Finish::Failed(last.clone())).await.unwrap());
    let failed = store.get(&job.id).await.unwrap().unwrap();
    assert_eq!((failed.status, failed.error), (JobStatus::Failed, Some(last)));
}

async fn a_released_job_does_not_lose_an_attempt(store: Store) {
    let job = store.create(new_job(0)).await.unwrap();
    let lease = claim(&store).await.lease;
    assert!(store.finish(&lease, Finish::Released).await.unwrap());
    let back = store.get(&job.id).await.unwrap().unwrap();
    assert_eq!((back.status, back.attempt), (JobStatus::Queued, 0));
    let lease = claim(&store).await.lease;
    assert_eq!(lease.attempt, 1);
    store.end_all_leases().await.unwrap();
    assert_eq!(claim(&store).await.lease.attempt, 2, "a lease that was ended can be taken over at once");
}

async fn urgent_jobs_come_first_then_old_ones(store: Store) {
    let mut ids = Vec::new();
    for priority in [0, 5, 0, -1] {
        ids.push(store.create(new_job(priority)).await.unwrap().id);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for expected in [1, 0, 2, 3] {
        assert_eq!(claim(&store).await.lease.job, ids[expected]);
    }
}

async fn pages_cover_the_list_once(store: Store) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(store.create(new_job(0)).await.unwrap().id);
    }
    let lease = claim(&store).await.lease;
    let all = store.list(ListQuery { status: None, after: None, limit: 100 }).await.unwrap();
    assert!(all.windows(2).all(|w| (w[0].created_at, &w[0].id) > (w[1].created_at, &w[1].id)), "newest first");
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(ListQuery { status: None, after, limit: 2 }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(Cursor { created_at: last.created_at, id: last.id.clone() });
        seen.extend(page.into_iter().map(|job| job.id));
    }
    assert_eq!(seen, all.into_iter().map(|job| job.id).collect::<Vec<_>>());
    let running = ListQuery { status: Some(JobStatus::Running), after: None, limit: 100 };
    let running: Vec<_> = store.list(running).await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(running, [lease.job]);
}

async fn many_workers_never_share_a_job(store: Store) {
    const JOBS: usize = 40;
    for _ in 0..JOBS {
        store.create(new_job(0)).await.unwrap();
    }
    let workers: Vec<_> = (0..8)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while let Some(claim) = store.claim(&format!("w{n}"), LEASE).await.unwrap() {
                    assert!(store.finish(&claim.lease, Finish::Succeeded(result())).await.unwrap());
                    mine.push(claim.lease.job);
                }
                mine
            })
        })
        .collect();
    let mut done = Vec::new();
    for worker in workers {
        done.extend(worker.await.unwrap());
    }
    let claimed = done.len();
    done.sort();
    done.dedup();
    assert_eq!((claimed, done.len()), (JOBS, JOBS));
}

async fn what_is_not_there_is_none(store: Store) {
    let id = JobId::from_uuid(7);
    assert!(store.get(&id).await.unwrap().is_none());
    assert!(store.events(&id, 0, 10).await.unwrap().is_empty());
    assert!(store.claim("w", LEASE).await.unwrap().is_none());
}

/// A store of its own for each test: a file, or a schema.
async fn sqlite() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("jobs.sqlite").display());
    (store::open(&url).await.expect("SQLite opens"), folder)
}

async fn postgres() -> (Store, ()) {
    let url = needed("DATABASE_URL");
    let schema = format!("t{}", Uuid::now_v7().simple());
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.expect("Postgres answers");
    let create = sqlx::AssertSqlSafe(format!("create schema {schema}"));
    sqlx::query(create).execute(&mut connection).await.expect("a schema");
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}options=-csearch_path%3D{schema}");
    (store::open(&url).await.expect("Postgres opens"), ())
}

macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite { $( #[tokio::test(flavor = "multi_thread")] async fn $test() {
            let (store, _folder) = super::sqlite().await;
            super::$test(store).await;
        } )* }
        mod on_postgres { $( #[tokio::test(flavor = "multi_thread")] async fn $test() {
            let (store, ()) = super::postgres().await;
            super::$test(store).await;
        } )* }
    };
}

conformance!(
    a_job_goes_from_queue_to_result,
    a_job_that_loses_every_worker_fails,
    a_lost_lease_is_taken_over_and_its_holder_fenced_off,
    a_released_job_does_not_lose_an_attempt,
    failures_are_kept_and_retries_wait,
    many_workers_never_share_a_job,
    pages_cover_the_list_once,
    urgent_jobs_come_first_then_old_ones,
    what_is_not_there_is_none,
);

#[tokio::test]
async fn tables_that_are_there_are_kept() {
    let (store, folder) = sqlite().await;
    let id = store.create(new_job(0)).await.unwrap().id;
    drop(store);
    let url = format!("sqlite://{}", folder.path().join("jobs.sqlite").display());
    let again = store::open(&url).await.unwrap();
    assert!(again.get(&id).await.unwrap().is_some());
    assert!(store::open("mysql://localhost/x").await.is_err());
}
