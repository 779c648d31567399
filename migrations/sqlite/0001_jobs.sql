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
    priority         integer not null,
    attempt          integer not null,
    max_attempts     integer not null,
    created_at       integer not null,
    started_at       integer,
    finished_at      integer,
    -- Not before this time; a retry waits.
    run_after        integer not null,
    worker           text,
    -- The secret of the attempt in progress; every write of a worker is fenced by it.
    lease_token      text,
    lease_until      integer,
    -- The number of the newest event.
    last_seq         integer not null
) strict;

create index jobs_waiting on jobs (status, run_after);
create index jobs_newest on jobs (created_at desc, id desc);

create table events (
    job_id  text not null references jobs (id) on delete cascade,
    seq     integer not null,
    at      integer not null,
    kind    text not null,
    data    text not null,
    primary key (job_id, seq)
) strict;
