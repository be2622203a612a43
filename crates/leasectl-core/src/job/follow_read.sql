-- Jobs as users see them, with the moment of the look.
-- $1 ids. Locks: none. Index: job_pkey and job_history_pkey.
-- Zero rows: none of them exists any more.
select now() as looked_at, id, repo_id, repo, kind, lane, args, priority, state, attempt,
       max_attempts, not_before, created_at, started_at, finished_at, message, progress, result,
       last_error, lease_owner, lease_token, lease_acquired_at, lease_heartbeat_at,
       lease_expires_at, attempts
  from leasectl.job_status
 where id = any ($1::uuid[])
 order by id
