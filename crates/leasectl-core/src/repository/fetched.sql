-- Counts a fetch of everything that succeeded: what was asked for before it started is answered, and the
-- schedule starts anew. $1 repository, $2 the fetching job, $3 whether anything was new.
-- Locks: the repository's row, inside the fence. Whoever asks for a fetch for a webhook holds it too, so that what
-- they asked for is seen here. Index: repository_pkey, job_pkey, job_parked, job_one_per_lane.
-- Zero rows: the repository was removed meanwhile.
with running as (
  select j.lease_acquired_at as started_at from leasectl.job j where j.id = $2
), queued as (
  select j.args, j.created_at
    from leasectl.job j
   where j.repo_id = $1 and j.lane = 'fetch' and j.kind = 'fetch' and j.state = 'ready'
  union all
  (select j.args, j.created_at
     from leasectl.job j
    where j.repo_id = $1 and j.lane = 'fetch' and j.kind = 'fetch' and j.state in ('waiting', 'scheduled')
    limit 100)
)
update leasectl.repository r
   set dirty_since = (select min(q.created_at) from queued q, running
                       where q.args = '{}' and q.created_at > running.started_at),
       fetches_unchanged = case when $3 then 0 else least(r.fetches_unchanged + 1, 1000) end,
       fetches_failed = 0,
       fetch_due_at = case when r.fetch_every is null then r.fetch_due_at
                           else now() + leasectl.fetch_pause(r.id, r.fetch_every,
                                          case when $3 then 0 else least(r.fetches_unchanged + 1, 1000) end, 0) end
 where r.id = $1
