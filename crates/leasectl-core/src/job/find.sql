-- One job as users see it.
-- $1 id. Locks: none. Index: job_pkey or job_history_pkey. Zero rows: there is no such job.
select id, repo_id, repo, kind, lane, args, priority, state, attempt, max_attempts, not_before,
       created_at, started_at, finished_at, message, progress, result, last_error,
       lease_owner, lease_token, lease_acquired_at, lease_heartbeat_at, lease_expires_at, attempts
  from leasectl.job_status
 where id = $1
