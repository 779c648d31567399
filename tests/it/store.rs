//! The conformance suite of the job store, run on both databases.

use std::time::{Duration, Instant};

use ptqd::{
    access::{KeySecret, Scope, Scopes},
    control::Progress,
    database::{self, Database},
    fault::{FaultCode, Warning, WarningCode},
    job::{
        AdmittedJob, Changed, Claim, Created, Cursor, Event, EventKind, Exceeded, Failure, Finish, Held, Idempotency,
        Job, JobId, JobResult, JobStatus, ListQuery, NewJob, Notification, Quotas, ShardOutput, Tenant, Update, Work,
        Worker,
    },
    webhook::{Attempted, DeliveryStatus, Webhook, new_secret},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::needed;

const LEASE: Duration = Duration::from_secs(60);
/// Long enough to be granted and gone before the next statement that needs it gone.
const SHORT: Duration = Duration::from_millis(1);

type Store = Database;

fn new_job(priority: i32) -> NewJob {
    new_job_with(json!({"priority": priority}))
}

/// A job with some fields of its request changed.
fn new_job_with(fields: Value) -> NewJob {
    let mut request = json!({"model": {"uri": "file:///m.onnx"}, "quantize": {"backend": "modelopt", "layers": [{"module_name": "*"}]}, "max_attempts": 2,
        "labels": {"team": "vision"}});
    request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let mut job = AdmittedJob::restore(serde_json::from_value(request).expect("a job")).expect("a job's rules");
    job.warnings = vec![Warning::new(WarningCode::ModeDefaulted, "told at once")];
    NewJob {
        id: JobId::from_uuid(Uuid::now_v7().as_u128()),
        tenant: Tenant::default(),
        job,
        idempotency: None,
        quotas: Quotas::default(),
    }
}

/// What the task of a shard leaves whose file was published under a prefix.
fn shard_output(prefix: &str) -> Box<ShardOutput> {
    let part = json!({"name": "out", "source": "in", "file_bytes": 1, "errors": []});
    let artifact = json!({"name": "out", "size": 1, "sha256": null, "media_type": "application/octet-stream"});
    let done =
        json!({"part": part, "artifact": artifact, "input": {"name": "in"}, "seconds": 0.5, "ptqd_version": "1"});
    Box::new(serde_json::from_value(json!({"done": done, "prefix": prefix})).expect("a shard's output"))
}

fn result() -> JobResult {
    JobResult { prefix: "p".into(), artifacts: vec![], summary: json!({"x": 1}), quality_gate: Value::Null }
}

fn worker(name: &str) -> Worker {
    Worker {
        name: name.to_owned(),
        memory_bytes: None,
        backends: vec!["modelopt", "torchao"],
        tenant_limit: None,
        default_timeout: None,
        alone: true,
    }
}

/// Those that tests ask for.
trait Short {
    async fn add(&self, job: NewJob) -> Job;
    async fn job(&self, id: &JobId) -> Job;
    async fn next(&self, lease: Duration) -> Option<Claim>;
}

impl Short for Store {
    async fn add(&self, job: NewJob) -> Job {
        match self.jobs.create(job).await.expect("the store") {
            Created::New(job) => job,
            other => panic!("{other:?}"),
        }
    }

    async fn job(&self, id: &JobId) -> Job {
        self.jobs.get(&Tenant::default(), id).await.expect("the store").expect("the job")
    }

    async fn next(&self, lease: Duration) -> Option<Claim> {
        self.queue.claim(&worker("w"), lease).await.expect("the store")
    }
}

async fn claim(store: &Store) -> Claim {
    store.next(LEASE).await.expect("a job")
}

async fn status(store: &Store, id: &JobId) -> JobStatus {
    store.job(id).await.status
}

async fn events(store: &Store, id: &JobId) -> Vec<Event> {
    store.jobs.events(&Tenant::default(), id, 0, 1000).await.expect("the store")
}

async fn a_job_goes_from_queue_to_result(store: Store) {
    let job = store.add(new_job(0)).await;
    assert_eq!((job.status, job.attempt, job.max_attempts), (JobStatus::Queued, 0, 2));
    assert_eq!(job.labels()["team"], "vision");
    let Claim { lease, spec, max_attempts, work, .. } = claim(&store).await;
    assert_eq!(work, Work::Whole);
    assert_eq!((&lease.job, lease.attempt, max_attempts), (&job.id, 1, 2));
    assert_eq!(spec, job.spec);
    assert!(store.next(LEASE).await.is_none(), "one worker at a time");

    let progress = Progress { units_done: 1, units_total: 2, unit: "layers".into(), eta_seconds: Some(0.5) };
    let told = Warning::new(WarningCode::BatchLowered, "told later");
    for update in [
        Update::Phase("quantizing".into()),
        Update::Progress("quantizing".into(), progress.clone()),
        Update::Plan(json!({"plan": []})),
        Update::Warning(told.clone()),
        Update::Warning(told.clone()),
    ] {
        assert!(store.queue.update(&lease, update).await.unwrap());
    }
    assert_eq!(store.queue.heartbeat(&lease, LEASE).await.unwrap(), Held::Yes);
    assert_eq!(store.queue.watch(&lease).await.unwrap(), Held::Yes);
    let running = store.job(&job.id).await;
    assert_eq!((running.status, running.phase.as_deref()), (JobStatus::Running, Some("quantizing")));
    assert_eq!(running.progress, Some(progress));
    let plan = async || store.jobs.plan(&Tenant::default(), &job.id).await.unwrap();
    assert_eq!(plan().await, Some(json!({"plan": []})));
    assert_eq!(running.warnings, [Warning::new(WarningCode::ModeDefaulted, "told at once"), told]);

    assert!(store.queue.finish(&lease, Finish::Succeeded(result())).await.unwrap());
    let done = store.job(&job.id).await;
    assert_eq!((done.status, done.result), (JobStatus::Succeeded, Some(result())));
    assert!(done.finished_at >= done.started_at && done.started_at >= Some(done.created_at));
    assert!(!store.queue.finish(&lease, Finish::Released).await.unwrap(), "what has ended stays ended");
    assert_eq!(store.queue.heartbeat(&lease, LEASE).await.unwrap(), Held::Lost);
    assert_eq!(store.queue.watch(&lease).await.unwrap(), Held::Lost);

    let log = events(&store, &job.id).await;
    assert_eq!(log.iter().map(|e| e.seq).collect::<Vec<_>>(), (1..=log.len() as i64).collect::<Vec<_>>());
    let kinds: Vec<_> = log.iter().map(|e| e.kind).collect();
    use EventKind::{Phase, Planned, Progress as Made, StatusChanged, Warning as Told};
    assert_eq!(kinds, [StatusChanged, StatusChanged, Phase, Made, Planned, Told, StatusChanged]);
    assert_eq!(store.jobs.events(&Tenant::default(), &job.id, 4, 1).await.unwrap(), log[4..5]);
}

async fn a_lost_lease_is_taken_over_and_its_holder_fenced_off(store: Store) {
    let job = store.add(new_job(0)).await;
    let first = store.next(SHORT).await.unwrap().lease;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = claim(&store).await.lease;
    assert_eq!((second.attempt, &second.job), (1, &job.id), "the loss is not counted");
    let before = events(&store, &job.id).await;
    assert_eq!(store.queue.heartbeat(&first, LEASE).await.unwrap(), Held::Lost);
    assert_eq!(store.queue.watch(&first).await.unwrap(), Held::Lost);
    assert!(!store.queue.update(&first, Update::Phase("x".into())).await.unwrap());
    assert!(!store.queue.update(&first, Update::Warning(Warning::new(WarningCode::OpsetUpgraded, "x"))).await.unwrap());
    assert!(!store.queue.finish(&first, Finish::Succeeded(result())).await.unwrap());
    assert_eq!(events(&store, &job.id).await, before, "the fenced-off worker wrote nothing");
    assert!(store.queue.finish(&second, Finish::Succeeded(result())).await.unwrap());
    assert_eq!(status(&store, &job.id).await, JobStatus::Succeeded);
}

/// Takes the next task and loses its worker.
async fn lose(store: &Store) {
    store.next(SHORT).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
}

async fn a_job_that_loses_every_worker_fails(store: Store) {
    let job = store.add(new_job(0)).await;
    for losses in 0..4 {
        let claim = store.next(SHORT).await.unwrap();
        assert_eq!((claim.lease.attempt, claim.alone), (1, losses > 0), "losses do not count as attempts");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.next(LEASE).await.is_none());
    let dead = store.job(&job.id).await;
    assert_eq!((dead.status, dead.error.map(|e| e.code)), (JobStatus::Failed, Some(FaultCode::WorkerLost.into())));
    assert_eq!(events(&store, &job.id).await.last().unwrap().data["status"], "failed");
}

async fn a_task_that_lost_its_worker_runs_alone(store: Store) {
    let suspect = store.add(new_job(0)).await.id;
    lose(&store).await;
    let other = store.add(new_job(5)).await.id;
    let busy = Worker { alone: false, ..worker("busy") };
    let beside = store.queue.claim(&busy, LEASE).await.unwrap().unwrap();
    assert_eq!((&beside.lease.job, beside.alone), (&other, false));
    let waiting = store.job(&suspect).await;
    assert_eq!((waiting.status, waiting.attempt), (JobStatus::Queued, 0));
    assert_eq!(waiting.error.map(|error| error.code), Some(FaultCode::WorkerLost.into()));
    assert!(store.queue.claim(&busy, LEASE).await.unwrap().is_none(), "not beside another");
    let alone = claim(&store).await;
    assert_eq!((&alone.lease.job, alone.alone), (&suspect, true));
    assert!(store.queue.finish(&alone.lease, Finish::Succeeded(result())).await.unwrap());
}

async fn tenants_take_turns(store: Store) {
    let tenant = |name: &str| name.parse::<Tenant>().unwrap();
    let add =
        async |name: &str, priority: i32| store.add(NewJob { tenant: tenant(name), ..new_job(priority) }).await.id;
    for _ in 0..150 {
        add("many", 100).await;
    }
    let one = add("one", -100).await;
    let first = claim(&store).await;
    assert_eq!(first.tenant, tenant("many"), "nobody had a turn: the oldest task comes first");
    let second = claim(&store).await.lease;
    assert_eq!(second.job, one, "the other tenant has nothing running");
    assert!(store.queue.finish(&first.lease, Finish::Succeeded(result())).await.unwrap());
    assert!(store.queue.finish(&second, Finish::Succeeded(result())).await.unwrap());

    // One worker, which has nothing running whenever it asks: whose last turn is longest ago.
    let (low, high) = (add("one", 0).await, add("one", 1).await);
    let mut order = Vec::new();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let Claim { lease, tenant, .. } = claim(&store).await;
        assert!(store.queue.finish(&lease, Finish::Succeeded(result())).await.unwrap());
        order.push((tenant.to_string(), lease.job));
    }
    let tenants: Vec<&str> = order.iter().map(|(tenant, _)| tenant.as_str()).collect();
    assert_eq!(tenants, ["many", "one", "many", "one", "many", "many"]);
    assert_eq!([&order[1].1, &order[3].1], [&high, &low], "within a tenant, by priority");
}

async fn a_tenant_queues_no_more_than_its_quotas(store: Store) {
    let queued = |limit| Quotas { queued_jobs: Some(limit), ..Quotas::default() };
    let create = async |quotas| store.jobs.create(NewJob { quotas, ..new_job(0) }).await.unwrap();
    // Eight at once, where there is room for two.
    let all = (0..8).map(|_| {
        let (store, job) = (store.clone(), NewJob { quotas: queued(2), ..new_job(0) });
        tokio::spawn(async move { matches!(store.jobs.create(job).await.unwrap(), Created::New(_)) })
    });
    let mut fresh = 0;
    for created in all.collect::<Vec<_>>() {
        fresh += usize::from(created.await.unwrap());
    }
    assert_eq!(fresh, 2);
    let exceeded = Exceeded::QueuedJobs { limit: 2 };
    assert!(matches!(create(queued(2)).await, Created::Exceeded(why) if why == exceeded));
    let other = NewJob { tenant: "other".parse().unwrap(), quotas: queued(1), ..new_job(0) };
    assert!(matches!(store.jobs.create(other).await.unwrap(), Created::New(_)));

    let lease = claim(&store).await.lease;
    let artifact = json!({"name": "m", "size": 1000, "sha256": null, "media_type": "application/octet-stream"});
    let result = JobResult { artifacts: vec![serde_json::from_value(artifact).unwrap()], ..result() };
    assert!(store.queue.finish(&lease, Finish::Succeeded(result)).await.unwrap());
    let bytes = |limit| Quotas { artifact_bytes: Some(limit), ..Quotas::default() };
    let held = store.jobs.usage().await.unwrap();
    assert_eq!(
        held.iter().map(|usage| (usage.queued_jobs, usage.artifact_bytes)).collect::<Vec<_>>(),
        [(1, 1000), (1, 0)]
    );
    assert!(matches!(
        create(bytes(1000)).await,
        Created::Exceeded(Exceeded::ArtifactBytes { used: 1000, limit: 1000 })
    ));
    assert!(matches!(create(bytes(1001)).await, Created::New(_)));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(store.upkeep.expire(Duration::ZERO, 9).await.unwrap().len(), 1);
    assert!(matches!(create(bytes(1000)).await, Created::New(_)), "what retention removed is not held");
}

async fn failures_are_kept_and_retries_wait(store: Store) {
    let job = store.add(new_job(0)).await;
    let failure = Failure::plain(FaultCode::DiskFull, "no space");
    let lease = claim(&store).await.lease;
    const PAUSE: Duration = Duration::from_millis(300);
    let began = Instant::now();
    assert!(store.queue.finish(&lease, Finish::Retry(failure.clone(), PAUSE)).await.unwrap());
    let waiting = store.job(&job.id).await;
    assert_eq!((waiting.status, waiting.error, waiting.finished_at), (JobStatus::Queued, Some(failure), None));
    let lease = loop {
        match store.next(LEASE).await {
            Some(claim) => break claim.lease,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    // The database's clock counts whole milliseconds.
    assert!(began.elapsed() >= PAUSE - Duration::from_millis(2), "before its time: {:?}", began.elapsed());
    assert_eq!(lease.attempt, 2);
    let last = Failure::plain(FaultCode::ModelCorrupt, "broken");
    assert!(store.queue.finish(&lease, Finish::Failed(last.clone())).await.unwrap());
    let failed = store.job(&job.id).await;
    assert_eq!((failed.status, failed.error), (JobStatus::Failed, Some(last)));
}

async fn a_released_attempt_is_not_counted(store: Store) {
    let job = store.add(new_job(0)).await;
    let lease = claim(&store).await.lease;
    assert!(store.queue.finish(&lease, Finish::Released).await.unwrap());
    let back = store.job(&job.id).await;
    assert_eq!((back.status, back.attempt), (JobStatus::Queued, 0));
    let lease = claim(&store).await.lease;
    assert_eq!(lease.attempt, 1);
    store.upkeep.end_all_leases().await.unwrap();
    assert_eq!(claim(&store).await.lease.job, job.id, "a lease that was ended can be taken over at once");
}

async fn urgent_jobs_come_first_then_old_ones(store: Store) {
    let mut ids = Vec::new();
    for priority in [0, 5, 0, -1] {
        ids.push(store.add(new_job(priority)).await.id);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for expected in [1, 0, 2, 3] {
        assert_eq!(claim(&store).await.lease.job, ids[expected]);
    }
}

async fn pages_cover_the_list_once(store: Store) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(store.add(new_job(0)).await.id);
    }
    let lease = claim(&store).await.lease;
    let tenant = Tenant::default();
    let list = |query| store.jobs.list(&tenant, query);
    let all = list(ListQuery { limit: 100, ..ListQuery::default() }).await.unwrap();
    assert!(all.windows(2).all(|w| (w[0].created_at, &w[0].id) > (w[1].created_at, &w[1].id)), "newest first");
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = list(ListQuery { after, limit: 2, ..ListQuery::default() }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(Cursor { created_at: last.created_at, id: last.id.clone() });
        seen.extend(page.into_iter().map(|job| job.id));
    }
    assert_eq!(seen, all.into_iter().map(|job| job.id).collect::<Vec<_>>());
    let running = ListQuery { status: Some(JobStatus::Running), limit: 100, ..ListQuery::default() };
    let running: Vec<_> = list(running).await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(running, [lease.job]);
}

async fn many_workers_never_share_a_job(store: Store) {
    const JOBS: usize = 40;
    for _ in 0..JOBS {
        store.add(new_job(0)).await;
    }
    let workers: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while let Some(claim) = store.queue.claim(&worker(&format!("w{n}")), LEASE).await.unwrap() {
                    assert!(store.queue.finish(&claim.lease, Finish::Succeeded(result())).await.unwrap());
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

async fn unknown_ids_are_none_not_errors(store: Store) {
    let id = JobId::from_uuid(7);
    assert!(store.jobs.get(&Tenant::default(), &id).await.unwrap().is_none());
    assert!(events(&store, &id).await.is_empty());
    assert!(store.upkeep.footprint(&id).await.unwrap().is_none());
    assert!(store.next(LEASE).await.is_none());
}

async fn a_job_is_cancelled_from_every_status(store: Store) {
    let tenant = Tenant::default();
    let waiting = store.add(new_job(0)).await;
    let done = |changed| match changed {
        Changed::Done(job) => job,
        other => panic!("{other:?}"),
    };
    let version = Some(waiting.version + 7);
    assert!(matches!(store.jobs.cancel(&tenant, &waiting.id, version).await.unwrap(), Changed::Stale));
    let cancelled = done(store.jobs.cancel(&tenant, &waiting.id, Some(waiting.version)).await.unwrap());
    assert_eq!((cancelled.status, cancelled.finished_at.is_some()), (JobStatus::Cancelled, true));
    assert_eq!(
        done(store.jobs.cancel(&tenant, &waiting.id, None).await.unwrap()).version,
        cancelled.version,
        "idempotent"
    );
    assert!(store.next(LEASE).await.is_none());

    let job = store.add(new_job(0)).await;
    let lease = claim(&store).await.lease;
    let asked = done(store.jobs.cancel(&tenant, &job.id, None).await.unwrap());
    assert_eq!((asked.status, asked.cancel_requested_at.is_some()), (JobStatus::Cancelling, true));
    assert_eq!(store.queue.watch(&lease).await.unwrap(), Held::Cancelled);
    assert_eq!(store.queue.heartbeat(&lease, LEASE).await.unwrap(), Held::Cancelled);
    assert!(store.queue.finish(&lease, Finish::Cancelled).await.unwrap());
    assert_eq!(status(&store, &job.id).await, JobStatus::Cancelled);

    // What would go on otherwise ends: a retry, a release, and a worker that dies before it sees the cancel.
    let retry = Finish::Retry(Failure::plain(FaultCode::DiskFull, "x"), Duration::ZERO);
    for how in [Some(retry), Some(Finish::Released), Some(Finish::FanOut(vec![1, 2])), None] {
        let job = store.add(new_job(0)).await;
        let lease = store.next(if how.is_some() { LEASE } else { SHORT }).await.unwrap().lease;
        store.jobs.cancel(&tenant, &job.id, None).await.unwrap();
        match how {
            Some(how) => assert!(store.queue.finish(&lease, how).await.unwrap()),
            None => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert!(store.next(LEASE).await.is_none());
            }
        }
        assert_eq!(status(&store, &job.id).await, JobStatus::Cancelled);
    }
    // One that was done all the same has succeeded, and cannot be cancelled any more.
    let job = store.add(new_job(0)).await;
    let lease = claim(&store).await.lease;
    store.jobs.cancel(&tenant, &job.id, None).await.unwrap();
    assert!(store.queue.finish(&lease, Finish::Succeeded(result())).await.unwrap());
    let refused = store.jobs.cancel(&tenant, &job.id, None).await.unwrap();
    assert!(matches!(refused, Changed::Refused(JobStatus::Succeeded)), "{refused:?}");
}

async fn a_failed_job_is_queued_again_by_hand(store: Store) {
    let tenant = Tenant::default();
    let job = store.add(new_job(0)).await;
    let again = |fields| NewJob { id: job.id.clone(), ..new_job_with(fields) };
    let refused = store.jobs.retry(&tenant, &job.id, None, again(json!({}))).await.unwrap();
    assert!(matches!(refused, Changed::Refused(JobStatus::Queued)));
    let lease = claim(&store).await.lease;
    store.queue.update(&lease, Update::Plan(json!({"plan": {}}))).await.unwrap();
    store.queue.finish(&lease, Finish::Failed(Failure::plain(FaultCode::ModelCorrupt, "x"))).await.unwrap();
    let with = again(json!({"priority": 3, "labels": {"team": "nlp"}, "max_attempts": 5}));
    assert!(matches!(store.jobs.retry(&tenant, &job.id, None, with).await.unwrap(), Changed::Done(_)));
    let queued = store.job(&job.id).await;
    assert_eq!((queued.status, queued.attempt, queued.max_attempts), (JobStatus::Queued, 0, 5));
    assert_eq!((queued.error, queued.finished_at, queued.started_at), (None, None, None));
    assert_eq!(store.jobs.plan(&tenant, &job.id).await.unwrap(), None);
    assert_eq!(queued.spec.labels["team"], "nlp");
    let query =
        |value: &str| ListQuery { label: Some(("team".into(), value.into())), limit: 9, ..ListQuery::default() };
    assert_eq!(store.jobs.list(&tenant, query("nlp")).await.unwrap().len(), 1);
    assert_eq!(store.jobs.list(&tenant, query("vision")).await.unwrap().len(), 0);
    assert_eq!(claim(&store).await.lease.attempt, 1);
    let log = events(&store, &job.id).await;
    assert_eq!(log.iter().map(|e| e.seq).collect::<Vec<_>>(), (1..=log.len() as i64).collect::<Vec<_>>());
}

async fn jobs_that_have_ended_can_be_deleted(store: Store) {
    let tenant = Tenant::default();
    let job = store.add(new_job_with(json!({"name": "n"}))).await;
    let refused = store.jobs.delete(&tenant, &job.id, None).await.unwrap();
    assert!(matches!(refused, Changed::Refused(JobStatus::Queued)));
    store.jobs.cancel(&tenant, &job.id, None).await.unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(store.upkeep.to_sweep(hour).await.unwrap(), std::slice::from_ref(&job.id), "it ended lately");
    assert!(store.upkeep.to_sweep(Duration::ZERO).await.unwrap().is_empty());
    assert!(matches!(store.jobs.delete(&tenant, &job.id, None).await.unwrap(), Changed::Done(_)));
    assert_eq!(store.upkeep.to_sweep(Duration::ZERO).await.unwrap(), std::slice::from_ref(&job.id), "it was deleted");
    store.upkeep.swept(&job.id).await.unwrap();
    assert!(store.upkeep.to_sweep(hour).await.unwrap().is_empty());
    assert!(matches!(store.jobs.delete(&tenant, &job.id, None).await.unwrap(), Changed::Missing));
    assert!(events(&store, &job.id).await.is_empty());
    store.add(new_job_with(json!({"name": "n"}))).await;
}

async fn a_request_sent_twice_makes_one_job(store: Store) {
    let with = |key: &str, fingerprint: &str| NewJob {
        idempotency: Some(Idempotency { key: key.into(), fingerprint: fingerprint.into() }),
        ..new_job(0)
    };
    let first = store.add(with("k", "a")).await;
    let again = store.jobs.create(with("k", "a")).await.unwrap();
    assert!(matches!(&again, Created::Replayed(job) if job.id == first.id), "{again:?}");
    assert!(matches!(store.jobs.create(with("k", "b")).await.unwrap(), Created::KeyReused));
    let other = NewJob { tenant: "other".parse().unwrap(), ..with("k", "b") };
    assert!(matches!(store.jobs.create(other).await.unwrap(), Created::New(_)), "keys are a tenant's own");
    // All at once: one is new, the others get the same job.
    let all = (0..8).map(|_| {
        let (store, job) = (store.clone(), with("together", "x"));
        tokio::spawn(async move { store.jobs.create(job).await.unwrap() })
    });
    let mut ids = Vec::new();
    let mut fresh = 0;
    for created in all.collect::<Vec<_>>() {
        match created.await.unwrap() {
            Created::New(job) => {
                fresh += 1;
                ids.push(job.id);
            }
            Created::Replayed(job) => ids.push(job.id),
            other => panic!("{other:?}"),
        }
    }
    ids.dedup();
    assert_eq!((fresh, ids.len()), (1, 1));

    let named = store.add(new_job_with(json!({"name": "resnet"}))).await;
    let taken = store.jobs.create(new_job_with(json!({"name": "resnet"}))).await.unwrap();
    assert!(matches!(&taken, Created::NameTaken(id) if *id == named.id), "{taken:?}");
}

async fn tenants_do_not_see_each_other(store: Store) {
    let (mine, other) = (Tenant::default(), "other".parse::<Tenant>().unwrap());
    let job = store.add(new_job(0)).await;
    assert!(store.jobs.get(&other, &job.id).await.unwrap().is_none());
    assert!(store.jobs.events(&other, &job.id, 0, 9).await.unwrap().is_empty());
    assert!(store.jobs.list(&other, ListQuery { limit: 9, ..ListQuery::default() }).await.unwrap().is_empty());
    assert!(matches!(store.jobs.cancel(&other, &job.id, None).await.unwrap(), Changed::Missing));
    assert!(matches!(store.jobs.delete(&other, &job.id, None).await.unwrap(), Changed::Missing));
    assert!(matches!(store.jobs.retry(&other, &job.id, None, new_job(0)).await.unwrap(), Changed::Missing));
    assert_eq!(store.job(&job.id).await.tenant, mine);

    // At most two of a tenant's at a time, whatever its priority; others are not held up.
    for _ in 0..3 {
        store.add(new_job(5)).await;
    }
    let theirs = store.add(NewJob { tenant: other.clone(), ..new_job(0) }).await;
    let limited = Worker { tenant_limit: Some(2), ..worker("w") };
    let mut taken = Vec::new();
    while let Some(claim) = store.queue.claim(&limited, LEASE).await.unwrap() {
        taken.push(claim);
    }
    assert_eq!(taken.len(), 3);
    assert_eq!(taken.iter().filter(|claim| claim.tenant == mine).count(), 2);
    assert_eq!(taken[1].lease.job, theirs.id, "it has nothing running");
    store.queue.finish(&taken[0].lease, Finish::Succeeded(result())).await.unwrap();
    assert!(store.queue.claim(&limited, LEASE).await.unwrap().is_some());
}

async fn many_claims_at_once_keep_a_tenants_limit(store: Store) {
    for _ in 0..20 {
        store.add(new_job(0)).await;
    }
    let claims = (0..10).map(|n| {
        let store = store.clone();
        let limited = Worker { tenant_limit: Some(3), ..worker(&format!("w{n}")) };
        tokio::spawn(async move { store.queue.claim(&limited, LEASE).await.unwrap().is_some() })
    });
    let mut taken = 0;
    for claim in claims.collect::<Vec<_>>() {
        taken += usize::from(claim.await.unwrap());
    }
    assert_eq!(taken, 3);
}

async fn workers_claim_only_tasks_of_their_backends_and_memory(store: Store) {
    let job = store.add(new_job(0)).await;
    let narrow = Worker { backends: vec!["torchao"], ..worker("narrow") };
    assert!(store.queue.claim(&narrow, LEASE).await.unwrap().is_none());
    let small = Worker { memory_bytes: Some(100), ..worker("small") };
    let lease = store.queue.claim(&small, LEASE).await.unwrap().unwrap().lease;
    store.fleet.announce(&small).await.unwrap();
    assert_eq!(store.fleet.capable_workers("modelopt", 500).await.unwrap(), 0);
    let large = Worker { memory_bytes: Some(1000), ..worker("large") };
    store.fleet.announce(&large).await.unwrap();
    assert_eq!(
        (
            store.fleet.capable_workers("modelopt", 500).await.unwrap(),
            store.fleet.capable_workers("modelopt", 50).await.unwrap()
        ),
        (1, 2)
    );
    assert!(store.queue.finish(&lease, Finish::TooSmall { needs_bytes: 500 }).await.unwrap());
    let back = store.job(&job.id).await;
    assert_eq!((back.status, back.attempt), (JobStatus::Queued, 0));
    assert!(store.queue.claim(&small, LEASE).await.unwrap().is_none());
    assert!(store.queue.claim(&large, LEASE).await.unwrap().is_some());
    store.fleet.unregister("large").await.unwrap();
    assert_eq!(store.fleet.capable_workers("modelopt", 500).await.unwrap(), 0);
}

async fn the_join_of_a_fanned_out_job_waits_for_all_shards(store: Store) {
    let job = store.add(new_job_with(json!({"timeout_seconds": 100}))).await;
    let whole = claim(&store).await;
    assert_eq!(whole.time_left, Some(Duration::from_secs(100)));
    store.queue.update(&whole.lease, Update::Plan(json!({"plan": {"layers": []}}))).await.unwrap();
    assert!(store.queue.finish(&whole.lease, Finish::FanOut(vec![10, 20, 30])).await.unwrap());
    assert!(!store.queue.finish(&whole.lease, Finish::Released).await.unwrap());
    assert_eq!(status(&store, &job.id).await, JobStatus::Running);
    let mut shards = Vec::new();
    for n in 0..3 {
        let shard = claim(&store).await;
        assert!(matches!(&shard.work, Work::Shard { index, plan } if *index == n && plan["plan"].is_object()));
        assert!(shard.time_left.unwrap() <= Duration::from_secs(100));
        shards.push(shard.lease);
    }
    assert!(store.next(LEASE).await.is_none(), "the join waits");
    let made = Progress { units_done: 5, units_total: 10, unit: "bytes".into(), eta_seconds: Some(1.0) };
    store.queue.update(&shards[0], Update::Progress("quantizing".into(), made)).await.unwrap();
    let told = store.job(&job.id).await.progress.unwrap();
    assert_eq!((told.units_done, told.units_total, told.eta_seconds), (5, 60, None));
    // All at once: exactly one of them is the last.
    let done = shards.iter().cloned().enumerate().map(|(n, lease)| {
        let store = store.clone();
        tokio::spawn(async move {
            store.queue.finish(&lease, Finish::ShardDone(shard_output(&n.to_string()))).await.unwrap()
        })
    });
    for done in done.collect::<Vec<_>>() {
        assert!(done.await.unwrap());
    }
    let remains = store.upkeep.footprint(&job.id).await.unwrap().unwrap();
    assert_eq!((remains.ended, remains.shard_prefixes.len()), (false, 3));
    let join = claim(&store).await;
    let outputs: Vec<ShardOutput> = ["0", "1", "2"].map(|n| *shard_output(n)).into();
    let found = |found: &Option<Vec<ShardOutput>>| found.as_ref() == Some(&outputs);
    assert!(matches!(&join.work, Work::Join { outputs, .. } if found(outputs)), "{:?}", join.work);
    assert!(store.queue.finish(&join.lease, Finish::Succeeded(result())).await.unwrap());
    assert_eq!(status(&store, &job.id).await, JobStatus::Succeeded);
    let log = events(&store, &job.id).await;
    assert_eq!(log.iter().filter(|event| event.kind == EventKind::ShardCompleted).count(), 3);
}

async fn a_failed_shard_fails_its_job_with_the_cause(store: Store) {
    let take_apart = async || {
        let job = store.add(new_job(0)).await;
        let whole = claim(&store).await.lease;
        store.queue.update(&whole, Update::Plan(json!({}))).await.unwrap();
        store.queue.finish(&whole, Finish::FanOut(vec![1, 1])).await.unwrap();
        (job.id, claim(&store).await.lease, claim(&store).await.lease)
    };
    let (id, first, second) = take_apart().await;
    let failure = Failure::plain(FaultCode::ModelCorrupt, "a tensor is cut off");
    assert!(store.queue.finish(&first, Finish::Failed(failure.clone())).await.unwrap());
    let failed = store.job(&id).await;
    assert_eq!((failed.status, failed.error), (JobStatus::Failed, Some(failure)));
    assert_eq!(store.queue.watch(&second).await.unwrap(), Held::Lost);
    assert!(!store.queue.finish(&second, Finish::ShardDone(shard_output("p"))).await.unwrap());
    assert!(store.next(LEASE).await.is_none());

    // A shard that loses its worker each time, whatever it did before.
    let (id, first, second) = take_apart().await;
    store.queue.finish(&second, Finish::ShardDone(shard_output("p"))).await.unwrap();
    let failure = Failure::plain(FaultCode::DiskFull, "no space");
    assert!(store.queue.finish(&first, Finish::Retry(failure, Duration::ZERO)).await.unwrap());
    assert_eq!(status(&store, &id).await, JobStatus::Running);
    for _ in 0..4 {
        lose(&store).await;
    }
    assert!(store.next(LEASE).await.is_none());
    let dead = store.job(&id).await;
    assert_eq!((dead.status, dead.error.unwrap().code), (JobStatus::Failed, FaultCode::WorkerLost.into()));

    // Cancelled in the middle: it ends with the last shard that is under way.
    let (id, first, second) = take_apart().await;
    store.jobs.cancel(&Tenant::default(), &id, None).await.unwrap();
    assert!(store.queue.finish(&first, Finish::Cancelled).await.unwrap());
    assert_eq!(status(&store, &id).await, JobStatus::Cancelling);
    assert!(store.queue.finish(&second, Finish::ShardDone(shard_output("p"))).await.unwrap());
    assert_eq!(status(&store, &id).await, JobStatus::Cancelled);
}

async fn listeners_get_notifications(store: Store) {
    use futures_util::StreamExt;
    let mut notifications = store.jobs.notifications();
    // On Postgres the first notification says that listening has begun.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let job = store.add(new_job(0)).await;
    let mut heard = Vec::new();
    while !(heard.contains(&Notification::Queued) && heard.contains(&Notification::Event(job.id.clone()))) {
        let next = tokio::time::timeout(Duration::from_secs(5), notifications.next()).await;
        heard.push(next.expect("notifications within five seconds").expect("an endless stream"));
    }
}

async fn api_keys_are_accepted_until_revoked_or_expired(store: Store) {
    let keys = &store.keys;
    let (mine, other) = (Tenant::default(), "other".parse::<Tenant>().unwrap());
    let secret = |n| KeySecret::new([n; 38]);
    let scopes: Scopes = [Scope::JobsRead].into_iter().collect();
    let made = keys.create_key(&secret(1), &mine, "ci", &scopes, None).await.unwrap();
    assert_eq!((made.name.as_str(), &made.scopes, made.last_used_at), ("ci", &scopes, None));
    let (found, hash) = keys.use_key(secret(1).id()).await.unwrap().unwrap();
    assert_eq!((found.id, hash), (made.id.clone(), secret(1).hash()));
    assert!(keys.keys(None).await.unwrap()[0].last_used_at.is_some());
    keys.create_key(&secret(2), &other, "short", &Scopes::all(), Some(Duration::from_millis(1))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(keys.use_key(secret(2).id()).await.unwrap().is_none(), "it is over");
    assert_eq!(keys.keys(Some(&other)).await.unwrap().len(), 1);
    assert!(!keys.revoke_key(&made.id, Some(&other)).await.unwrap());
    assert!(keys.revoke_key(&made.id, Some(&mine)).await.unwrap());
    assert!(keys.use_key(&made.id).await.unwrap().is_none());
    assert!(keys.use_key("nothing").await.unwrap().is_none());
}

async fn webhooks_get_deliveries_of_the_events_they_chose(store: Store) {
    let hooks = &store.webhooks;
    let tenant = Tenant::default();
    let new = |id: &str, tenant: &Tenant, events: &[&str]| Webhook {
        id: id.to_owned(),
        tenant: tenant.clone(),
        url: "https://example.com".into(),
        secret: new_secret([1; 32]),
        events: events.iter().map(|&name| name.to_owned()).collect(),
        created_at: 0,
    };
    let made = hooks.create_webhook(new("wh_1", &tenant, &["job.status_changed"])).await.unwrap();
    assert!(made.created_at > 0);
    hooks.create_webhook(new("wh_2", &"other".parse().unwrap(), &["job.status_changed"])).await.unwrap();
    hooks.create_webhook(new("wh_3", &tenant, &["job.warning", "job.planned"])).await.unwrap();
    let job = store.add(new_job(0)).await;
    let (webhook, first) = hooks.take_delivery(LEASE).await.unwrap().unwrap();
    assert_eq!((webhook, &first.job, first.seq, first.attempts), (made, &job.id, 1, 1));
    assert_eq!(first.data, json!({"status": "queued"}));
    assert!(hooks.take_delivery(LEASE).await.unwrap().is_none(), "nobody else takes it, and other webhooks want none");
    let failed = Attempted { response_status: Some(500), error: Some("500".into()) };
    hooks.attempted(&first, failed.clone(), Some(Duration::ZERO)).await.unwrap();
    let (_, again) = hooks.take_delivery(LEASE).await.unwrap().unwrap();
    assert_eq!((&again.id, again.attempts, again.response_status), (&first.id, 2, Some(500)));
    hooks.attempted(&again, failed, None).await.unwrap();
    let log = async || hooks.deliveries(&tenant, "wh_1", 9).await.unwrap().unwrap();
    assert_eq!(log().await[0].status, DeliveryStatus::Failed);
    assert!(!hooks.redeliver(&"other".parse().unwrap(), "wh_1", &first.id).await.unwrap());
    assert!(hooks.redeliver(&tenant, "wh_1", &first.id).await.unwrap());
    let (_, again) = hooks.take_delivery(LEASE).await.unwrap().unwrap();
    hooks.attempted(&again, Attempted { response_status: Some(204), error: None }, None).await.unwrap();
    let delivered = log().await.remove(0);
    assert_eq!((delivered.status, delivered.delivered_at.is_some()), (DeliveryStatus::Delivered, true));
    assert!(hooks.deliveries(&"other".parse().unwrap(), "wh_1", 9).await.unwrap().is_none());
    assert!(hooks.delete_webhook(&tenant, "wh_1").await.unwrap());
    assert!(hooks.deliveries(&tenant, "wh_1", 9).await.unwrap().is_none());
}

async fn retention_removes_what_is_old(store: Store) {
    let job = store
        .add(NewJob { idempotency: Some(Idempotency { key: "k".into(), fingerprint: "a".into() }), ..new_job(0) })
        .await;
    let lease = claim(&store).await.lease;
    store.queue.update(&lease, Update::Phase("quantizing".into())).await.unwrap();
    store.queue.finish(&lease, Finish::Succeeded(result())).await.unwrap();
    let hour = Duration::from_secs(3600);
    assert!(store.upkeep.expire(hour, 9).await.unwrap().is_empty());
    store.upkeep.prune(Some(hour), hour).await.unwrap();
    assert_eq!(events(&store, &job.id).await.len(), 4);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.upkeep.expire(Duration::ZERO, 9).await.unwrap(), std::slice::from_ref(&job.id));
    assert!(store.upkeep.expire(Duration::ZERO, 9).await.unwrap().is_empty());
    let expired = store.job(&job.id).await;
    let last = events(&store, &job.id).await.pop().unwrap();
    assert_eq!((last.kind, last.seq), (EventKind::ArtifactsExpired, expired.version), "a change that clients can see");
    assert!(
        expired.artifacts_expired_at.is_some() && expired.result.is_some() && expired.status == JobStatus::Succeeded
    );
    store.upkeep.prune(Some(Duration::ZERO), Duration::ZERO).await.unwrap();
    assert!(events(&store, &job.id).await.iter().all(|event| event.kind == EventKind::StatusChanged));
    let key = Some(Idempotency { key: "k".into(), fingerprint: "b".into() });
    store.add(NewJob { idempotency: key, ..new_job(0) }).await;
    let stats = store.jobs.stats().await.unwrap();
    assert_eq!((stats.jobs["succeeded"], stats.jobs["queued"], stats.tasks_waiting), (1, 1, 1));
    store.jobs.ping().await.unwrap();
}

/// A store of its own for each test: a file, or a schema.
async fn sqlite() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("jobs.sqlite").display());
    (database::open(&url, 10).await.expect("SQLite opens"), folder)
}

async fn postgres() -> (Store, ()) {
    let url = needed("DATABASE_URL");
    let schema = format!("t{}", Uuid::now_v7().simple());
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.expect("Postgres answers");
    let create = sqlx::AssertSqlSafe(format!("create schema {schema}"));
    sqlx::query(create).execute(&mut connection).await.expect("a schema");
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}options=-csearch_path%3D{schema}");
    (database::open(&url, 10).await.expect("Postgres opens"), ())
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
    a_failed_shard_fails_its_job_with_the_cause,
    a_failed_job_is_queued_again_by_hand,
    a_job_goes_from_queue_to_result,
    a_job_is_cancelled_from_every_status,
    the_join_of_a_fanned_out_job_waits_for_all_shards,
    a_job_that_loses_every_worker_fails,
    a_task_that_lost_its_worker_runs_alone,
    a_lost_lease_is_taken_over_and_its_holder_fenced_off,
    a_released_attempt_is_not_counted,
    a_request_sent_twice_makes_one_job,
    failures_are_kept_and_retries_wait,
    jobs_that_have_ended_can_be_deleted,
    api_keys_are_accepted_until_revoked_or_expired,
    many_claims_at_once_keep_a_tenants_limit,
    many_workers_never_share_a_job,
    listeners_get_notifications,
    pages_cover_the_list_once,
    tenants_do_not_see_each_other,
    tenants_take_turns,
    a_tenant_queues_no_more_than_its_quotas,
    urgent_jobs_come_first_then_old_ones,
    webhooks_get_deliveries_of_the_events_they_chose,
    unknown_ids_are_none_not_errors,
    retention_removes_what_is_old,
    workers_claim_only_tasks_of_their_backends_and_memory,
);

#[tokio::test]
async fn opening_a_database_again_keeps_its_tables() {
    let (store, folder) = sqlite().await;
    let id = store.add(new_job(0)).await.id;
    drop(store);
    let url = format!("sqlite://{}", folder.path().join("jobs.sqlite").display());
    let again = database::open(&url, 10).await.unwrap();
    assert_eq!(again.job(&id).await.id, id);
    assert!(database::open("mysql://localhost/x", 1).await.is_err());
}
