-- Jobs as users see them, newest first.
-- $1 id (null: any), $2 repository (null: any), $3 kind (null: any), $4 state (null: any),
-- $5 only ids before this one (null: from the newest), $6 at most so many.
-- The page is picked from the two tables first: a limit does not reach through the view.
-- Locks: none. Index: job_pkey and job_history_pkey; with a repository job_one_per_lane,
-- job_parked and job_history_repo.
-- Zero rows: there is no such job.
with page as materialized (
  (select j.id
     from leasectl.job j
    where ($1::uuid is null or j.id = $1)
      and ($2::uuid is null
           or j.id = any (array(
                select held.id from leasectl.job held
                 where held.repo_id = $2 and held.state in ('ready', 'running')
                union all
                select parked.id from leasectl.job parked
                 where parked.repo_id = $2 and parked.state = 'waiting'
                union all
                select later.id from leasectl.job later
                 where later.repo_id = $2 and later.state = 'scheduled')))
      and ($3::text is null or j.kind = $3)
      and ($4::text is null
           or ($4 = 'running' and j.state = 'running')
           or ($4 = 'waiting' and j.state = 'waiting')
           or ($4 = 'queued' and j.state in ('ready', 'scheduled')))
      and ($5::uuid is null or j.id < $5)
    order by j.id desc
    limit $6)
  union all
  (select h.id
     from leasectl.job_history h
    where ($1::uuid is null or h.id = $1)
      and ($2::uuid is null or h.repo_id = $2)
      and ($3::text is null or h.kind = $3)
      and ($4::text is null or h.state = $4)
      and ($5::uuid is null or h.id < $5)
    order by h.id desc
    limit $6)
  order by id desc
  limit $6
)
select id, repo_id, repo, kind, lane, args, priority, state, attempt, max_attempts, not_before,
       created_at, started_at, finished_at, message, progress, result, last_error,
       lease_owner, lease_token, lease_acquired_at, lease_heartbeat_at, lease_expires_at, attempts
  from leasectl.job_status
 where id = any (array(select page.id from page))
 order by id desc
