-- Which watched workers do not hold their lock now. $1 the key of the asking worker.
-- Watched is who held the lock when its row was written, on this start of the server. The rows are those
-- of the statement's snapshot and the locks are read after it: a row that says "session" was written
-- while the lock was held, so a lock that is absent here was lost.
-- Who was judged dead stays in view for a minute: a claim of its last moment may commit late.
-- Each lock is asked for by itself: to read them all visits every backend that there may be.
-- Older counts who beats and does not drain: who is frozen holds its lock, and does nothing for others.
-- Locks: absent ones, shared, until the statement ends: a worker that would hold its lock again in this moment
-- takes another key. Index: none, the workers are few. One row always: whether the server runs long enough
-- to judge, how many watched workers at work are older than the asking one, and the absent ones, as arrays.
with watched as materialized (
  select w.owner, w.liveness_key, w.death_grace, w.died_at is not null as judged,
         not w.draining and w.heartbeat_at > now() - 1.5 * w.heartbeat_interval as at_work,
         -- Its own lock would be given to the asking session once more.
         w.liveness_key <> $1::integer and not leasectl.liveness_lock_is_held(w.liveness_key) as absent
    from leasectl.worker w
   where w.liveness = 'session' and w.liveness_server = pg_postmaster_start_time()
     and (w.died_at is null or w.died_at > now() - interval '1 minute')
)
select pg_backend_pid() as pid,
       leasectl.server_is_settled() as settled,
       (select count(*) from watched w
         where w.liveness_key < $1::integer and not w.judged and w.at_work) as older,
       coalesce(array_agg(a.owner), '{}') as owners,
       coalesce(array_agg(a.liveness_key), '{}') as keys,
       coalesce(array_agg(extract(epoch from a.death_grace)::float8), '{}') as graces,
       coalesce(array_agg(a.judged), '{}') as judged
  from watched a
 where a.absent
