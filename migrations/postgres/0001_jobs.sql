-- Jobs and their event log. Times are milliseconds since 1970 by the database's clock; JSON is kept as text.
create table jobs (
    id               text primary key,
    name             text,
    status           text not null,
    phase            text,
    progress         text,
    spec             text not null,
    plan             text,
    warnings         text not null,
    error            text,
    result           text,
    priority         bigint not null,
    attempt          bigint not null,
    max_attempts     bigint not null,
    created_at       bigint not null,
    started_at       bigint,
    finished_at      bigint,
    -- Not before this time; a retry waits.
    run_after        bigint not null,
    worker           text,
    -- The secret of the attempt in progress; every write of a worker is fenced by it.
    lease_token      text,
    lease_until      bigint,
    -- The number of the newest event.
    last_seq         bigint not null
);

create index jobs_waiting on jobs (status, run_after);
create index jobs_newest on jobs (created_at desc, id desc);

create table events (
    job_id  text not null references jobs (id) on delete cascade,
    seq     bigint not null,
    at      bigint not null,
    kind    text not null,
    data    text not null,
    primary key (job_id, seq)
);
