-- Jobs as users see them, newest first.
-- $1 id (null: any), $2 repository (null: any), $3 kind (null: any), $4 state (null: any),
-- $5 only ids before this one (null: from the newest), $6 at most so many.
-- Locks: none. Index: job_pkey and job_history_pkey; with a repository job_history_repo.
-- Zero rows: there is no such job.
select id, repo_id, repo, kind, lane, args, priority, state, attempt, max_attempts, not_before,
       created_at, started_at, finished_at, message, progress, result, last_error,
       lease_owner, lease_token, lease_acquired_at, lease_heartbeat_at, lease_expires_at, attempts
  from leasectl.job_status
 where ($1::uuid is null or id = $1)
   and ($2::uuid is null or repo_id = $2)
   and ($3::text is null or kind = $3)
   and ($4::text is null or state = $4)
   and ($5::uuid is null or id < $5)
 order by id desc
 limit $6
