-- How many watched workers at work are older than the asking one, as `sight.sql` counts them, without its look at
-- the locks. $1 the key of the asking worker. Locks: none. Index: none, the workers are few. One row always.
select pg_backend_pid() as pid, count(*) as older
  from leasectl.worker w
 where w.liveness = 'session' and w.liveness_server = pg_postmaster_start_time() and w.died_at is null
   and w.liveness_key < $1::integer
   and not w.draining and w.heartbeat_at > now() - 1.5 * w.heartbeat_interval
