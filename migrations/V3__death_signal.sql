-- The death signal: what others need to know to see at once that a worker's process is gone.
-- Every column may be null or has its default, and older workers neither set nor read them: they
-- stay judged by their heartbeats alone.

-- One key for each worker incarnation: the second half of the advisory lock that it holds on its
-- liveness session for as long as it lives. 0 is the detector's.
create sequence leasectl.worker_liveness_key as integer minvalue 1 cycle;

alter table leasectl.worker
  add column liveness_key     integer,
  -- The start of the server on which the lock was held when this row was written: after a restart
  -- every lock is gone, and an absent one means nothing until its worker has written its row again.
  add column liveness_server  timestamptz,
  -- How long its lock may be absent: each worker is judged by its own setting.
  add column death_grace      interval,
  -- Why the mode is not "session"; null when it is.
  add column liveness_reason  text,
  -- When its lock had been absent for the whole grace.
  add column died_at          timestamptz;

-- The lease whose owner was seen to be dead. It names the token, so that a later claim by whatever
-- release leaves nothing to clear.
alter table leasectl.job add column dead_token bigint;

-- Whether the server runs long enough for an absent lock to mean anything: workers come back one by
-- one after a restart.
create function leasectl.server_is_settled() returns boolean
language sql stable parallel safe as $$
  select pg_postmaster_start_time() < clock_timestamp() - interval '15 seconds'
$$;

-- Takes the liveness lock with this key for the session, or answers false at once. Two integers name
-- an advisory lock; the first is the same for all of leasectl ("leas" in ASCII), the second a worker's
-- key, or 0 for the detector.
create function leasectl.try_liveness_lock(key integer) returns boolean
language sql volatile as $$ select pg_try_advisory_lock(1818583411, key) $$;

-- The liveness locks that sessions of this database hold, and who holds them.
create function leasectl.liveness_locks() returns table (key integer, pid integer)
language sql stable as $$
  select l.objid::integer, l.pid
    from pg_locks l
   where l.locktype = 'advisory' and l.classid = 1818583411::oid and l.objsubid = 2 and l.granted
     and l.database = (select d.oid from pg_database d where d.datname = current_database())
$$;

create or replace view leasectl.worker_status as
select w.owner, w.hostname, w.pid, w.version,
       case when w.died_at is not null then 'dead'
            when leasectl.stale_at(w.heartbeat_at, w.heartbeat_interval, w.stale_after) > now()
            then case when w.draining then 'draining' else 'live' end
            -- Silent, and nothing of it is left to take over.
            when held.leases = 0 then 'dead' else 'stale' end as state,
       w.started_at, w.heartbeat_at, w.kinds, held.leases,
       case when w.liveness_server = pg_postmaster_start_time() then w.liveness else 'heartbeat' end as liveness
  from leasectl.worker w
 cross join lateral (select count(*)::integer as leases from leasectl.job j
                      where j.state = 'running' and j.lease_owner = w.owner) held;
