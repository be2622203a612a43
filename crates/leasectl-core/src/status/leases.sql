-- Leases, oldest first. $1 repository (null: all). Locks: none. Index: job_running.
-- Zero rows: nothing runs.
select job_id, repo_id, repo, kind, lane, owner, token, attempt, acquired_at, heartbeat_at, expires_at,
       state, message, progress
  from leasectl.lease_status
 where $1::uuid is null or repo_id = $1
 order by token
