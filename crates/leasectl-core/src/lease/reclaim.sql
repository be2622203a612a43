-- Takes over jobs whose lease is over: the owner fell silent (stale), made no progress (expired) or was
-- seen to be gone (dead; judge.sql has expired the lease).
-- $1 lanes, $2 free slots of each, $3 kinds that this worker runs, $4 owner, $5 heartbeat interval in seconds,
-- $6 stale-after and $7 lease ttl in seconds.
-- Locks: the rows FOR UPDATE, skipping locked ones: a heartbeat or a fence in flight keeps its lease.
-- Staleness is checked again under the lock. Index: job_running, then job_pkey alone (see
-- claim.sql).
-- Jobs that may not run again are left to bury.sql. Zero rows: no lease is over.
with dead as (
  select over.id
    from unnest($1::text[], $2::bigint[]) as slot (lane, free)
   cross join lateral (
     select j.id from leasectl.job j
      where j.state = 'running' and j.lane = slot.lane and j.kind = any ($3::text[])
        and (j.lease_expires_at <= now()
             or leasectl.stale_at(j.lease_heartbeat_at, j.lease_heartbeat_interval, j.lease_stale_after) <= now())
        and not j.cancel_requested
        and (j.durable or (j.crashes < 2 and j.attempt < j.max_attempts))
      order by j.lease_token
      limit slot.free
        for update skip locked) over
)
update leasectl.job j
   set attempts = leasectl.with_attempt(
         j.attempts, j.attempt, j.lease_owner, j.lease_token, j.lease_acquired_at, now(), 'lost',
         case when j.dead_token = j.lease_token
              then '{"code": "lease_lost", "message": "the worker died", "retryable": true}'
              when j.lease_expires_at <= now()
              then '{"code": "no_progress", "message": "the handler made no progress until the lease expired", "retryable": true}'
              else '{"code": "lease_lost", "message": "the worker stopped sending heartbeats", "retryable": true}'
         end::jsonb),
       -- Durable progress refunds the attempt: redeploys must not kill a long job.
       attempt = case when durable then attempt else attempt + 1 end,
       crashes = case when durable then 0 else crashes + 1 end,
       durable = false, progress = null, message = null,
       lease_owner = $4, lease_token = nextval('leasectl.lease_token'),
       lease_acquired_at = now(), lease_heartbeat_at = now(), lease_expires_at = now() + $7::float8 * interval '1 second',
       lease_stale_after = $6::float8 * interval '1 second', lease_heartbeat_interval = $5::float8 * interval '1 second'
 where j.id = any (array(select id from dead))
returning j.id, j.repo_id, j.kind, j.lane, j.args, j.attempt, j.max_attempts, j.lease_token,
          greatest(j.created_at, j.not_before) as ready_at, now() as claimed_at, j.rank, j.seq,
          j.attempts -> -1 ->> 'owner' as from_owner,
          (j.attempts -> -1 ->> 'token')::bigint as from_token,
          case when j.dead_token = (j.attempts -> -1 ->> 'token')::bigint then 'dead'
               when j.attempts -> -1 -> 'error' ->> 'code' = 'no_progress' then 'expired'
               else 'stale' end as reason
