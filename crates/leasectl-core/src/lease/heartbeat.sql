-- Beats for the leases of one owner, all in one statement.
-- $1 owner, $2 job ids, $3 tokens, $4 whether the handler advanced since the last beat,
-- $5 progress (null: unchanged), $6 messages (null: unchanged), $7 lease ttl in seconds.
-- Locks: non-key row locks only, so a beat never waits for a fence, and rows that somebody else holds
-- are skipped: one row that is locked from outside must not cost the other leases their beat.
-- No indexed column changes: updates stay heap-only. Index: job_pkey, once for each lease: neither
-- statistics that are out of date nor a plan made for an empty table may turn this into a scan, so
-- the state, which would offer the index of running jobs, is judged outside (I8 implies it inside).
-- A row that does not come back is locked (heartbeat_missing.sql tells) or a lost lease: taken over,
-- settled, or over already; a lease that others may take is never revived by a late beat.
with beat as (
  select b.id, b.token, b.advanced, b.progress, b.message
    from unnest($2::uuid[], $3::bigint[], $4::boolean[], $5::jsonb[], $6::text[])
         as b (id, token, advanced, progress, message)
   order by b.id
), held as materialized (
  select beat.*
    from beat
   cross join lateral (
     select j.state
       from leasectl.job j
      where j.id = beat.id and j.lease_owner = $1 and j.lease_token = beat.token
        and j.lease_expires_at > now()
        and leasectl.stale_at(j.lease_heartbeat_at, j.lease_heartbeat_interval, j.lease_stale_after) > now()
      limit 1
        for no key update skip locked) lease
   where lease.state = 'running'
)
update leasectl.job j
   set lease_heartbeat_at = now(),
       lease_expires_at = case when held.advanced then now() + $7::float8 * interval '1 second' else j.lease_expires_at end,
       progress = coalesce(held.progress, j.progress),
       message = coalesce(held.message, j.message)
  from held
 where j.id = held.id
returning j.id, j.lease_token, j.cancel_requested
