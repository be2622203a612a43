-- Declares a worker dead and expires its leases, unless its lock is held again.
-- $1 owner, $2 key of its lock.
-- That the lock is absent is looked at again under the lock of the worker's row, which its own beats
-- take too. A lease ends with the moment of its claim as its expiry: before any beat for it was sent, so
-- a beat that was under way already revives nothing.
-- Locks: the worker's row, then the jobs' rows FOR UPDATE in the order of their ids, skipping locked
-- ones: an open fence keeps its lease until its end, and the caller asks again while any is left.
-- Index: worker_pkey; job_running, read through: a death is rare.
-- Zero rows: the worker is not dead, or its row is locked in this moment.
with dead as materialized (
  select w.owner
    from leasectl.worker w
   where w.owner = $1 and w.liveness = 'session' and w.liveness_key = $2::integer
     and w.liveness_server = pg_postmaster_start_time()
     and not exists (select from leasectl.liveness_locks() l where l.key = $2::integer)
     for update skip locked
), noted as (
  update leasectl.worker w set died_at = now() from dead where w.owner = dead.owner and w.died_at is null
), held as materialized (
  select j.id
    from leasectl.job j
   where j.state = 'running' and j.lease_owner = $1 and j.dead_token is distinct from j.lease_token
     and exists (select from dead)
), free as materialized (
  select j.id
    from leasectl.job j
   where j.state = 'running' and j.lease_owner = $1 and j.dead_token is distinct from j.lease_token
     and exists (select from dead)
   order by j.id
     for update skip locked
), expired as (
  update leasectl.job j
     set lease_expires_at = j.lease_acquired_at, dead_token = j.lease_token
    from free
   where j.id = free.id
  returning j.lane
)
select array(select distinct lane from expired order by lane) as lanes,
       (select count(*) from expired) as expired,
       (select count(*) from held) - (select count(*) from expired) as left
  from dead
