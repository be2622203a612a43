-- Moves a finished job back to its lane as waiting, with five more attempts.
-- $1 job id. Locks: the history row, and the new row. Index: job_history_pkey.
-- Zero rows: there is no finished job of that id.
with gone as (
  delete from leasectl.job_history h where h.id = $1
  returning h.*
)
insert into leasectl.job (id, repo_id, kind, lane, args, priority, state, created_at, attempt, max_attempts,
                          last_error, attempts)
select id, repo_id, kind, lane, args, priority, 'waiting', created_at, attempt, attempt + 5, last_error,
       case when owner is null then attempts
            else leasectl.with_attempt(attempts, attempt, owner, token, started_at, finished_at, outcome, last_error) end
  from gone
returning repo_id, lane
