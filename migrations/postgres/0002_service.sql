-- Tenants, the queue as a table of its own, labels, idempotency keys, API keys, webhooks and the workers alive.
alter table jobs add column tenant text not null default 'default';
alter table jobs add column backend text not null default '';
alter table jobs add column cancel_requested_at bigint;
-- When retention removed the artifacts; the job stays `succeeded`.
alter table jobs add column artifacts_expired_at bigint;

update jobs set backend = case when spec::jsonb -> 'quantize' ->> 'backend' like 'modelopt%' then 'modelopt' else 'torchao' end;

-- Names are unique within a tenant from here on; of jobs that share one, the newest keeps it (`spec` still shows it).
update jobs set name = null where exists (
    select 1 from jobs newer where newer.name = jobs.name and (newer.created_at, newer.id) > (jobs.created_at, jobs.id));
create unique index jobs_names on jobs (tenant, name);
drop index jobs_newest;
create index jobs_newest on jobs (tenant, created_at desc, id desc);

-- What is to be done: one `whole` for a job, or a `shard` each and a `join`. A job that has ended has none.
create table tasks (
    job_id        text not null references jobs (id) on delete cascade,
    n             bigint not null,
    kind          text not null,
    -- waiting, running, blocked (a join whose shards are not done), done.
    status        text not null,
    tenant        text not null,
    backend       text not null,
    priority      bigint not null,
    -- When the job was created.
    created_at    bigint not null,
    attempt       bigint not null,
    max_attempts  bigint not null,
    -- Not before this time; a retry waits.
    run_after     bigint not null,
    -- Memory that it is known to need; null if nobody knows yet.
    needs_bytes   bigint,
    worker        text,
    -- The secret of the attempt in progress; every write of a worker is fenced by it.
    lease_token   text,
    lease_until   bigint,
    units_done    bigint not null,
    units_total   bigint not null,
    -- What a shard left for the join.
    output        text,
    primary key (job_id, n)
);
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
);
create index job_labels_by_value on job_labels (key, value);
insert into job_labels (job_id, key, value)
    select jobs.id, label.key, label.value
    from jobs, jsonb_each_text(coalesce(jobs.spec::jsonb -> 'labels', '{}')) label;

create table idempotency_keys (
    tenant       text not null,
    key          text not null,
    -- SHA-256 of the request.
    fingerprint  text not null,
    job_id       text not null references jobs (id) on delete cascade,
    created_at   bigint not null,
    primary key (tenant, key)
);

create table api_keys (
    id            text primary key,
    tenant        text not null,
    name          text not null,
    -- SHA-256 of the whole key.
    hash          text not null,
    scopes        text not null,
    created_at    bigint not null,
    expires_at    bigint,
    revoked_at    bigint,
    last_used_at  bigint
);

create table webhooks (
    id          text primary key,
    tenant      text not null,
    url         text not null,
    secret      text not null,
    events      text not null,
    created_at  bigint not null
);
create index webhooks_by_tenant on webhooks (tenant, created_at, id);

create table deliveries (
    id               text primary key,
    webhook_id       text not null references webhooks (id) on delete cascade,
    job_id           text not null,
    seq              bigint not null,
    kind             text not null,
    body             text not null,
    -- pending, delivered, failed.
    status           text not null,
    attempts         bigint not null,
    next_at          bigint not null,
    response_status  bigint,
    error            text,
    created_at       bigint not null,
    delivered_at     bigint
);
create index deliveries_next on deliveries (status, next_at);
create index deliveries_by_webhook on deliveries (webhook_id, created_at desc, id desc);

create table workers (
    name          text primary key,
    -- What it may use for a job; null for no limit.
    memory_bytes  bigint,
    -- The backends that it can run, each between commas.
    backends      text not null,
    seen_at       bigint not null
);

-- Jobs that were deleted and whose artifacts may still be there. What no row tells of is never removed: it may be another
-- database's.
create table garbage (
    job_id  text primary key
);
