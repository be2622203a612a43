-- Repositories that are to be fetched unasked: their interval has passed since a fetch was last
-- asked for, and none is under way. $1 at most so many.
-- Locks: none. Index: job_one_per_lane, job_parked, job_history_repo, in the partitions of the interval.
-- Zero rows: no fetch is due.
select r.id
  from leasectl.repository r
 where r.fetch_every is not null
   and not exists (select from leasectl.job j
                    where j.repo_id = r.id and j.lane = 'fetch' and j.kind = 'fetch'
                      and j.state in ('ready', 'running'))
   and not exists (select from leasectl.job j
                    where j.repo_id = r.id and j.lane = 'fetch' and j.kind = 'fetch'
                      and j.state in ('waiting', 'scheduled'))
   and not exists (select from leasectl.job_history h
                    where h.repo_id = r.id and h.kind = 'fetch'
                      and h.id >= leasectl.uuid_v7_floor(now() - r.fetch_every)
                      and h.created_at > now() - r.fetch_every)
 limit $1
