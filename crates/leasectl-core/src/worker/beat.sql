-- Writes a worker's row and beats for it.
-- $1 owner, $2 host name, $3 process id, $4 version, $5 draining, $6 heartbeat interval and
-- $7 stale-after in seconds, $8 slots of each lane, $9 key of its liveness lock (null: it has none),
-- $10 death grace in seconds (null: the death signal is off), $11 why the lock is not held, if it is not.
-- The row says "session" only if the lock is held at this very moment, so a statement that comes late
-- never exposes a worker to the detector that lost its lock meanwhile. A worker that beats is not dead.
-- Locks: the worker's row, and its liveness lock in shared mode for a moment if nobody holds it.
-- Index: worker_pkey. No indexed column changes.
with mode as materialized (
  select case when $9::integer is null then 'heartbeat'
              when leasectl.liveness_lock_is_held($9::integer) then 'session'
              else 'heartbeat' end as liveness
)
insert into leasectl.worker as w
       (owner, hostname, pid, version, draining, heartbeat_interval, stale_after, kinds,
        liveness, liveness_key, liveness_server, death_grace, liveness_reason)
select $1, $2, $3, $4, $5, $6::float8 * interval '1 second', $7::float8 * interval '1 second', $8,
       mode.liveness, $9, pg_postmaster_start_time(), $10::float8 * interval '1 second',
       case mode.liveness when 'heartbeat' then $11 end
  from mode
on conflict (owner) do update
   set heartbeat_at = now(), draining = excluded.draining, liveness = excluded.liveness,
       liveness_key = excluded.liveness_key, liveness_server = excluded.liveness_server,
       death_grace = excluded.death_grace, liveness_reason = excluded.liveness_reason, died_at = null
returning w.liveness
