-- Which of the leases that a beat did not renew are held all the same: somebody else, such as an
-- operator's open transaction, has their rows locked.
-- $1 owner, $2 job ids, $3 tokens. Locks: none, so it waits for nobody. Index: job_pkey, once for each
-- lease (see heartbeat.sql).
-- A row that does not come back is a lost lease. One that does may be lost as soon as its lock is
-- gone: the next beat tells.
select input.id, input.token
  from unnest($2::uuid[], $3::bigint[]) as input (id, token)
 cross join lateral (
   select j.state
     from leasectl.job j
    where j.id = input.id and j.lease_owner = $1 and j.lease_token = input.token
      and j.lease_expires_at > now()
      and leasectl.stale_at(j.lease_heartbeat_at, j.lease_heartbeat_interval, j.lease_stale_after) > now()
    limit 1) lease
 where lease.state = 'running'
