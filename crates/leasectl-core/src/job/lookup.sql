-- Jobs as users see them, newest first.
-- $1 repository (null: any), $2 kind (null: any), $3 state (null: any),
-- $4 only ids before this one (null: from the newest), $5 at most so many.
-- Planned anew for each call: one plan for every filter, made while the tables were small, would
-- read all of them.
-- The page is picked from the two tables first: a limit does not reach through the view.
-- Locks: none. Index: job_pkey and job_history_pkey; with a repository job_one_per_lane,
-- job_parked and job_history_repo.
-- Zero rows: there is no such job.
with page as materialized (
  (select j.id
     from leasectl.job j
    where ($1::uuid is null
           or j.id = any (array(
                select held.id from leasectl.job held
                 where held.repo_id = $1 and held.state in ('ready', 'running')
                union all
                select parked.id from leasectl.job parked
                 where parked.repo_id = $1 and parked.state = 'waiting'
                union all
                select later.id from leasectl.job later
                 where later.repo_id = $1 and later.state = 'scheduled')))
      and ($2::text is null or j.kind = $2)
      and ($3::text is null
           or ($3 = 'running' and j.state = 'running')
           or ($3 = 'waiting' and j.state = 'waiting')
           or ($3 = 'queued' and j.state in ('ready', 'scheduled')))
      and ($4::uuid is null or j.id < $4)
    order by j.id desc
    limit $5)
  union all
  (select h.id
     from leasectl.job_history h
    where ($1::uuid is null or h.repo_id = $1)
      and ($2::text is null or h.kind = $2)
      and ($3::text is null or h.state = $3)
      and ($4::uuid is null or h.id < $4)
    order by h.id desc
    limit $5)
  order by id desc
  limit $5
)
select id, repo_id, repo, kind, lane, args, priority, state, attempt, max_attempts, not_before,
       created_at, started_at, finished_at, message, progress, result, last_error,
       lease_owner, lease_token, lease_acquired_at, lease_heartbeat_at, lease_expires_at, attempts
  from leasectl.job_status
 where id = any (array(select page.id from page))
 order by id desc
