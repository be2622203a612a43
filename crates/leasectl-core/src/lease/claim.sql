-- Claims the most urgent ready jobs, up to the free slots of each lane.
-- $1 lanes, $2 free slots of each, $3 kinds that this worker runs, $4 owner, $5 heartbeat interval in seconds,
-- $6 stale-after and $7 lease ttl in seconds, $8 and $9 the rank and seq after which to look in each lane.
-- Locks: the claimed rows FOR UPDATE, skipping those that somebody else holds. Index: job_ready, job_pkey.
-- The token is drawn while its row is locked, so tokens of a lane only grow.
-- The locked rows are taken by job_pkey alone: repeating the state there would offer the planner
-- an index of that whole state, to be read through for a handful of ids.
-- Zero rows: nothing is ready for these lanes.
with picked as (
  select ready.id
    from unnest($1::text[], $2::bigint[], $8::smallint[], $9::bigint[]) as slot (lane, free, after_rank, after_seq)
   cross join lateral (
     select j.id from leasectl.job j
      where j.state = 'ready' and j.lane = slot.lane and j.kind = any ($3::text[])
        and (j.rank, j.seq) > (slot.after_rank, slot.after_seq)
      order by j.rank, j.seq
      limit slot.free
        for update skip locked) ready
)
update leasectl.job j
   set state = 'running', dedup_key = null, attempt = attempt + 1, durable = false,
       progress = null, message = null,
       lease_owner = $4, lease_token = nextval('leasectl.lease_token'),
       lease_acquired_at = now(), lease_heartbeat_at = now(), lease_expires_at = now() + $7::float8 * interval '1 second',
       lease_stale_after = $6::float8 * interval '1 second', lease_heartbeat_interval = $5::float8 * interval '1 second'
 where j.id = any (array(select id from picked))
returning j.id, j.repo_id, j.kind, j.lane, j.args, j.attempt, j.max_attempts, j.lease_token,
          greatest(j.created_at, j.not_before) as ready_at, now() as claimed_at, j.rank, j.seq
