-- Tenants, the queue as a table of its own, labels, idempotency keys, API keys, webhooks and the workers alive.
alter table jobs add column tenant text not null default 'default';
alter table jobs add column backend text not null default '';
alter table jobs add column cancel_requested_at integer;
-- When retention removed the artifacts; the job stays `succeeded`.
alter table jobs add column artifacts_expired_at integer;

update jobs set backend = case when json_extract(spec, '$.quantize.backend') like 'modelopt%' then 'modelopt' else 'torchao' end;

-- Names are unique within a tenant from here on; of jobs that share one, the newest keeps it (`spec` still shows it).
update jobs set name = null where exists (
    select 1 from jobs newer where newer.name = jobs.name and (newer.created_at, newer.id) > (jobs.created_at, jobs.id));
create unique index jobs_names on jobs (tenant, name);
drop index jobs_newest;
create index jobs_newest on jobs (tenant, created_at desc, id desc);

-- What is to be done: one `whole` for a job, or a `shard` each and a `join`. A job that has ended has none.
create table tasks (
    job_id        text not null references jobs (id) on delete cascade,
    n             integer not null,
    kind          text not null,
    -- waiting, running, blocked (a join whose shards are not done), done.
    status        text not null,
    tenant        text not null,
    backend       text not null,
    priority      integer not null,
    -- When the job was created.
    created_at    integer not null,
    attempt       integer not null,
    max_attempts  integer not null,
    -- Not before this time; a retry waits.
    run_after     integer not null,
    -- Memory that it is known to need; null if nobody knows yet.
    needs_bytes   integer,
    worker        text,
    -- The secret of the attempt in progress; every write of a worker is fenced by it.
    lease_token   text,
    lease_until   integer,
    units_done    integer not null,
    units_total   integer not null,
    -- What a shard left for the join.
    output        text,
    primary key (job_id, n)
) strict;
insert into tasks (job_id, n, kind, status, tenant, backend, priority, created_at, attempt, max_attempts, run_after, worker,
                   lease_token, lease_until, units_done, units_total)
    select id, 0, 'whole', case when status = 'queued' then 'waiting' else 'running' end, tenant, backend, priority,
           created_at, attempt, max_attempts, run_after, worker, lease_token, lease_until, 0, 0
    from jobs where status in ('queued', 'running', 'cancelling');
create index tasks_next on tasks (status, priority desc, created_at, job_id, n);

drop index jobs_waiting;
alter table jobs drop column run_after;
alter table jobs drop column worker;
alter table jobs drop column lease_token;
alter table jobs drop column lease_until;
create index jobs_by_status on jobs (status);

create table job_labels (
    job_id  text not null references jobs (id) on delete cascade,
    key     text not null,
    value   text not null,
    primary key (job_id, key)
) strict;
create index job_labels_by_value on job_labels (key, value);
insert into job_labels (job_id, key, value)
    select jobs.id, label.key, label.value
    from jobs, json_each(coalesce(json_extract(jobs.spec, '$.labels'), '{}')) label;

create table idempotency_keys (
    tenant       text not null,
    key          text not null,
    -- SHA-256 of the request.
    fingerprint  text not null,
    job_id       text not null references jobs (id) on delete cascade,
    created_at   integer not null,
    primary key (tenant, key)
) strict;

create table api_keys (
    id            text primary key,
    tenant        text not null,
    name          text not null,
    -- SHA-256 of the whole key.
    hash          text not null,
    scopes        text not null,
    created_at    integer not null,
    expires_at    integer,
    revoked_at    integer,
    last_used_at  integer
) strict;

create table webhooks (
    id          text primary key,
    tenant      text not null,
    url         text not null,
    secret      text not null,
    events      text not null,
    created_at  integer not null
) strict;
create index webhooks_by_tenant on webhooks (tenant, created_at, id);

create table deliveries (
    id               text primary key,
    webhook_id       text not null references webhooks (id) on delete cascade,
    job_id           text not null,
    seq              integer not null,
    kind             text not null,
    body             text not null,
    -- pending, delivered, failed.
    status           text not null,
    attempts         integer not null,
    next_at          integer not null,
    response_status  integer,
    error            text,
    created_at       integer not null,
    delivered_at     integer
) strict;
create index deliveries_next on deliveries (status, next_at);
create index deliveries_by_webhook on deliveries (webhook_id, created_at desc, id desc);

create table workers (
    name          text primary key,
    -- What it may use for a job; null for no limit.
    memory_bytes  integer,
    -- The backends that it can run, each between commas.
    backends      text not null,
    seen_at       integer not null
) strict;

-- Jobs that were deleted and whose artifacts may still be there. What no row tells of is never removed: it may be another
-- database's.
create table garbage (
    job_id  text primary key
) strict;
