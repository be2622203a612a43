-- Jobs, leases, history, workers and repositories.
-- Forward-only, and safe while older workers run. All objects live in the schema leasectl.

-- ── Identity and time ─────────────────────────────────────────────────────────────────────────

-- A UUIDv7 of the database's clock: history is partitioned by the time in it, so it must not come
-- from a client whose clock may be wrong.
create function leasectl.uuid_v7(at timestamptz default clock_timestamp()) returns uuid
language sql volatile parallel safe as $$
  select encode(
           set_bit(set_bit(
             overlay(uuid_send(gen_random_uuid())
                     placing substring(int8send(floor(extract(epoch from at) * 1000)::bigint) from 3)
                     from 1 for 6),
             52, 1), 53, 1),
           'hex')::uuid
$$;

-- The least UUIDv7 of a moment: a partition bound.
create function leasectl.uuid_v7_floor(at timestamptz) returns uuid
language sql immutable parallel safe as $$
  select (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- ── Repositories ──────────────────────────────────────────────────────────────────────────────

create table leasectl.repository (
  id                        uuid        not null default leasectl.uuid_v7(),
  name                      text        not null,
  git_url                   text        not null,
  default_branch            text,
  head                      text,
  fetch_every               interval,
  created_at                timestamptz not null default now(),
  last_successful_fetch_at  timestamptz,
  constraint repository_pkey primary key (id),
  constraint repository_name_key unique (name),
  constraint repository_git_url_key unique (git_url),
  constraint repository_fetch_every_positive check (fetch_every > interval '0')
);

create table leasectl.branch (
  repo_id        uuid        not null references leasectl.repository (id) on delete cascade,
  name           text        not null,
  head           text,
  parent         text,
  registered     boolean     not null default false,
  state          text        not null,
  seen_at        timestamptz not null,
  ahead          integer,
  behind         integer,
  needs_restack  boolean,
  constraint branch_pkey primary key (repo_id, name),
  constraint branch_state_known check (state in ('synced', 'pending', 'error'))
);

-- ── Kinds ─────────────────────────────────────────────────────────────────────────────────────

-- Written by the programs when they migrate, so that leasectl.enqueue refuses what they refuse.
create table leasectl.kind (
  name  text  not null,
  lane  text  not null,
  args  jsonb not null,
  constraint kind_pkey primary key (name),
  constraint kind_lane_known check (lane in ('fetch', 'index', 'backfill', 'stack'))
);

-- ── Jobs ──────────────────────────────────────────────────────────────────────────────────────

-- Fencing tokens. CACHE 1: with a cache, tokens drawn on different connections are not monotonic.
create sequence leasectl.lease_token as bigint cache 1;
-- The order in which jobs were accepted.
create sequence leasectl.job_seq as bigint;

-- The live jobs. Finished ones move to leasectl.job_history in the statement that settles them.
create table leasectl.job (
  id                        uuid        not null,
  seq                       bigint      not null default nextval('leasectl.job_seq'),
  repo_id                   uuid        not null,
  kind                      text        not null,
  lane                      text        not null,
  args                      jsonb       not null,
  -- SHA-256 of the canonical arguments while the job may still be merged with an equal one; null
  -- once it was claimed, or while it is staged by leasectl.enqueue.
  dedup_key                 bytea,
  staged                    boolean     not null default false,
  priority                  smallint    not null default 0,
  -- Ascending claim order; the stack lane is strict first-in-first-out and ignores priority.
  rank                      smallint    not null
                            generated always as (case when lane = 'stack' then 0 else -priority end) stored,
  state                     text        not null,
  not_before                timestamptz,
  created_at                timestamptz not null default now(),
  attempt                   smallint    not null default 0,
  max_attempts              smallint    not null default 5,
  -- How often in a row a worker was lost without durable progress.
  crashes                   smallint    not null default 0,
  -- Whether the current lease has committed progress that a successor need not repeat.
  durable                   boolean     not null default false,
  cancel_requested          boolean     not null default false,
  lease_owner               text,
  lease_token               bigint,
  lease_acquired_at         timestamptz,
  lease_heartbeat_at        timestamptz,
  lease_expires_at          timestamptz,
  lease_stale_after         interval,
  lease_heartbeat_interval  interval,
  progress                  jsonb,
  message                   text,
  last_error                jsonb,
  -- Ended attempts, oldest first: {attempt, owner, token, started_at, finished_at, outcome, error}.
  attempts                  jsonb       not null default '[]',
  constraint job_pkey primary key (id),
  constraint job_state_known check (state in ('scheduled', 'waiting', 'ready', 'running')),
  constraint job_lane_known check (lane in ('fetch', 'index', 'backfill', 'stack')),
  constraint job_priority_in_range check (priority between -100 and 100),
  constraint job_attempts_bounded check (attempt between 0 and max_attempts),
  constraint job_scheduled_has_a_time check (state <> 'scheduled' or not_before is not null),
  -- I8: running if and only if owner and token are set.
  constraint job_running_has_a_lease check (
    (state = 'running') = (lease_owner is not null) and
    (state = 'running') = (lease_token is not null) and
    (state = 'running') = (lease_acquired_at is not null) and
    (state = 'running') = (lease_heartbeat_at is not null) and
    (state = 'running') = (lease_expires_at is not null) and
    (state = 'running') = (lease_stale_after is not null) and
    (state = 'running') = (lease_heartbeat_interval is not null))
) with (
  -- One tick writes every running row of a page anew, and a running row is wider than a ready one:
  -- with a page filled to this share, heartbeats find room in it and stay heap-only.
  fillfactor = 25,
  -- A queue table turns over fast: clean it by count, not by share.
  autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2,
  autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0
);

-- P3: one live lease per lane, by structure. A backing-off or delayed head of the stack lane holds
-- its lane too.
create unique index job_one_per_lane on leasectl.job (repo_id, lane)
  where state in ('ready', 'running') or (lane = 'stack' and state = 'scheduled');
-- Claims read this from its head.
create index job_ready on leasectl.job (lane, rank, seq) where state = 'ready';
-- Jobs never claimed are merged with equal newcomers.
create unique index job_dedup on leasectl.job (repo_id, kind, dedup_key) where dedup_key is not null;
-- Promotion takes the first waiting job of a lane; the sweep walks the lanes.
create index job_parked on leasectl.job (state, repo_id, lane, rank, seq)
  where state in ('waiting', 'scheduled');
-- The sweep wakes what is due.
create index job_due on leasectl.job (not_before) where state = 'scheduled';
-- Reclaim and heartbeat look-ups; no column here changes on a heartbeat.
create index job_running on leasectl.job (lane, lease_token) where state = 'running';
-- A worker asks which of its jobs should stop.
create index job_cancel on leasectl.job (lease_owner) where cancel_requested;
-- The sweep activates what leasectl.enqueue staged.
create index job_staged on leasectl.job (seq) where staged;

-- Finished jobs, partitioned by the time in their id, so that a look-up reads one partition and
-- retention drops whole partitions.
create table leasectl.job_history (
  id            uuid        not null,
  seq           bigint      not null,
  repo_id       uuid        not null,
  kind          text        not null,
  lane          text        not null,
  args          jsonb       not null,
  priority      smallint    not null,
  state         text        not null,
  not_before    timestamptz,
  created_at    timestamptz not null,
  attempt       smallint    not null,
  max_attempts  smallint    not null,
  -- The last lease; null when the job was cancelled before any claim.
  owner         text,
  token         bigint,
  started_at    timestamptz,
  finished_at   timestamptz not null,
  -- How that lease ended: completed, failed, cancelled or lost.
  outcome       text,
  progress      jsonb,
  message       text,
  result        jsonb,
  last_error    jsonb,
  -- The attempts before the last lease.
  attempts      jsonb       not null,
  constraint job_history_pkey primary key (id),
  constraint job_history_state_known check (state in ('completed', 'error', 'cancelled'))
) partition by range (id);

create index job_history_repo on leasectl.job_history (repo_id, id);
create index job_history_unsuccessful on leasectl.job_history (state, id) where state <> 'completed';
create index job_history_errors on leasectl.job_history (finished_at) where state = 'error';
-- Catches ids of days that have no partition, such as a job that outlived the retention.
create table leasectl.job_history_default partition of leasectl.job_history default;

-- ── Workers ───────────────────────────────────────────────────────────────────────────────────

create table leasectl.worker (
  owner               text        not null,
  hostname            text        not null,
  pid                 integer     not null,
  version             text        not null,
  draining            boolean     not null default false,
  started_at          timestamptz not null default now(),
  heartbeat_at        timestamptz not null default now(),
  heartbeat_interval  interval    not null,
  stale_after         interval    not null,
  kinds               jsonb       not null,
  liveness            text        not null,
  constraint worker_pkey primary key (owner),
  constraint worker_liveness_known check (liveness in ('session', 'heartbeat'))
) with (fillfactor = 50);
