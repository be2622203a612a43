-- Writes a worker's row and beats for it.
-- $1 owner, $2 host name, $3 process id, $4 version, $5 draining, $6 heartbeat interval and
-- $7 stale-after in seconds, $8 slots of each lane, $9 liveness mode.
-- Locks: the worker's row. Index: worker_pkey. No indexed column changes.
insert into leasectl.worker as w
       (owner, hostname, pid, version, draining, heartbeat_interval, stale_after, kinds, liveness)
values ($1, $2, $3, $4, $5, $6::float8 * interval '1 second', $7::float8 * interval '1 second', $8, $9)
on conflict (owner) do update
   set heartbeat_at = now(), draining = excluded.draining, liveness = excluded.liveness
