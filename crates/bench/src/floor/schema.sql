-- A plain queue: one table, one partial index, no lease semantics.
create table floor_job (
  id           bigint      generated always as identity primary key,
  kind         text        not null default 'noop',
  payload      jsonb       not null default '{}',
  state        smallint    not null default 0, -- 0 ready, 1 taken, 2 done
  run_at       timestamptz not null default now(),
  attempts     smallint    not null default 0,
  locked_by    text,
  lease_until  timestamptz,
  finished_at  timestamptz
) with (fillfactor = 90);
create index floor_job_ready on floor_job (run_at, id) where state = 0;
