-- Cancels every job of a repository that does not run. $1 repository.
-- Locks: the rows FOR UPDATE in the order of their ids. Zero rows: it has none.
with held as materialized (
  select j.id from leasectl.job j
   where j.repo_id = $1 and j.state <> 'running'
   order by j.id
     for update
), gone as (
  delete from leasectl.job j where j.id = any (array(select id from held)) and j.state <> 'running'
  returning j.*
)
insert into leasectl.job_history
      (id, seq, repo_id, kind, lane, args, priority, state, not_before, created_at, attempt, max_attempts,
       finished_at, progress, message, last_error, attempts)
select id, seq, repo_id, kind, lane, args, priority, 'cancelled', not_before, created_at, attempt, max_attempts,
       now(), progress, message,
       '{"code": "cancelled", "message": "the repository was removed", "retryable": false}'::jsonb, attempts
  from gone
