-- Beats for the leases of one owner, all in one statement.
-- $1 owner, $2 job ids, $3 tokens, $4 whether the handler advanced since the last beat,
-- $5 progress (null: unchanged), $6 messages (null: unchanged), $7 lease ttl in seconds.
-- Locks: non-key row locks only, taken in the order of the ids, so a beat never waits for a fence.
-- No indexed column changes: updates stay heap-only. Index: job_pkey.
-- A row that does not come back is a lost lease: taken over, settled, or over already; a lease that
-- others may take is never revived by a late beat.
with beat as (
  select b.id, b.token, b.advanced, b.progress, b.message
    from unnest($2::uuid[], $3::bigint[], $4::boolean[], $5::jsonb[], $6::text[])
         as b (id, token, advanced, progress, message)
), held as materialized (
  select j.id
    from leasectl.job j
   where j.id = any ($2::uuid[]) and j.state = 'running' and j.lease_owner = $1
   order by j.id
     for no key update
)
update leasectl.job j
   set lease_heartbeat_at = now(),
       lease_expires_at = case when beat.advanced then now() + $7::float8 * interval '1 second' else j.lease_expires_at end,
       progress = coalesce(beat.progress, j.progress),
       message = coalesce(beat.message, j.message)
  from beat join held on held.id = beat.id
 where j.id = any ($2::uuid[]) and j.id = beat.id and j.state = 'running' and j.lease_owner = $1 and j.lease_token = beat.token
   and j.lease_expires_at > now()
   and leasectl.stale_at(j.lease_heartbeat_at, j.lease_heartbeat_interval, j.lease_stale_after) > now()
returning j.id, j.lease_token, j.cancel_requested
