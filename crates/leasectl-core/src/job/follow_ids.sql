-- The jobs that an event stream should read at this look.
-- $1 repository (null: all), $2 also jobs that finished after this moment (null: only new ones),
-- $3 at most so many of each sort.
-- New jobs are looked for ten seconds back: an id may become visible after a later one.
-- Locks: none. Index: job_running, job_pkey, job_one_per_lane, job_parked, job_history_pkey,
-- job_history_repo.
-- Zero rows: nothing lives and nothing is new.
(select j.id from leasectl.job j
  where j.state = 'running' and $1::uuid is null
  order by j.lease_token desc limit $3)
union
(select j.id from leasectl.job j
  where j.state in ('ready', 'running') and j.repo_id = $1 limit $3)
union
(select j.id from leasectl.job j
  where j.state = 'waiting' and j.repo_id = $1 limit $3)
union
(select j.id from leasectl.job j
  where j.state = 'scheduled' and j.repo_id = $1 limit $3)
union
(select j.id from leasectl.job j
  where j.id > leasectl.uuid_v7_floor(now() - interval '10 seconds')
    and ($1::uuid is null or j.repo_id = $1)
  order by j.id desc limit $3)
union
(select h.id from leasectl.job_history h
  where h.id > leasectl.uuid_v7_floor(now() - interval '10 seconds')
    and ($1::uuid is null or h.repo_id = $1)
  order by h.id desc limit $3)
union
-- One for each case: of "any or this one" no kept plan uses the index of repositories.
(select recent.id
   from (select h.id, h.finished_at from leasectl.job_history h
          where $2::timestamptz is not null and h.repo_id = $1
          order by h.id desc limit $3) recent
  where recent.finished_at > $2)
union
(select recent.id
   from (select h.id, h.finished_at from leasectl.job_history h
          where $2::timestamptz is not null and $1::uuid is null
          order by h.id desc limit $3) recent
  where recent.finished_at > $2)
