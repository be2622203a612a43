-- Cancels a job: one that is not running ends at once, a running one is asked to stop.
-- $1 job id. Locks: a job that is not running FOR UPDATE; a running one with a non-key lock only,
-- which waits for no fence: nothing ends here, the owner will settle. Index: job_pkey; the token
-- stands for the state (I8), which would offer the planner the index of running jobs.
-- Zero rows: there is no live job of that id, or it was claimed or released in this very moment.
with held as materialized (
  select j.id from leasectl.job j where j.id = $1 and j.state <> 'running' for update
), gone as (
  delete from leasectl.job j where j.id = $1 and j.lease_token is null and exists (select from held)
  returning j.*
), finished as (
  insert into leasectl.job_history
        (id, seq, repo_id, kind, lane, args, priority, state, not_before, created_at, attempt, max_attempts,
         finished_at, progress, message, last_error, attempts)
  select id, seq, repo_id, kind, lane, args, priority, 'cancelled', not_before, created_at, attempt, max_attempts,
         now(), progress, message,
         '{"code": "cancelled", "message": "the job was cancelled before it ran", "retryable": false}'::jsonb, attempts
    from gone
  returning repo_id, lane
), asked as (
  update leasectl.job j set cancel_requested = true
   where j.id = $1 and j.lease_token is not null and not exists (select from held)
  returning j.repo_id, j.lane
)
select repo_id, lane, true as ended from finished
union all
select repo_id, lane, false from asked
