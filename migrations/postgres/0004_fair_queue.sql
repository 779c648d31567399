-- Tenants take turns, and a task whose worker was lost runs alone.
-- How many workers were lost with the task.
alter table tasks add column losses bigint not null default 0;
-- The tenants that wait, how many tasks each has running, and each one's next task.
create index tasks_by_tenant on tasks (status, tenant, priority desc, created_at, job_id, n);
create index tasks_suspect on tasks (run_after) where losses > 0;
drop index tasks_next;

-- When each tenant last had a turn.
create table turns (
    tenant  text primary key,
    at      bigint not null
);

-- What a tenant holds: how many jobs wait, and the bytes of the artifacts that are kept.
create index jobs_by_tenant on jobs (tenant, status);
alter table jobs add column artifact_bytes bigint not null default 0;
update jobs set artifact_bytes = (
    select coalesce(sum((artifact ->> 'size')::bigint), 0) from jsonb_array_elements(jobs.result::jsonb -> 'artifacts') artifact)
    where result is not null;
create index jobs_with_artifacts on jobs (tenant, artifact_bytes) where artifact_bytes > 0 and artifacts_expired_at is null;
