-- Takes repositories that are due to be fetched unasked, so that no other worker takes them too, and moves them on
-- in the schedule: should the fetch come to nothing, the next turn comes all the same. $1 at most so many.
-- Locks: their rows, in the order in which they are due, skipping locked ones; held until the fetches are
-- accepted. Index: repository_fetch_due, repository_pkey; job_one_per_lane, job_parked.
-- One row for each: whether no fetch of it is under way or queued. Zero rows: none is due.
with due as (
  select r.id
    from leasectl.repository r
   where r.fetch_every is not null and r.fetch_due_at <= now()
   order by r.fetch_due_at
   limit $1
     for no key update skip locked
), wanted as materialized (
  select due.id,
         not exists (select from leasectl.job j
                      where j.repo_id = due.id and j.lane = 'fetch' and j.kind = 'fetch'
                        and j.state in ('ready', 'running'))
     and not exists (select from leasectl.job j
                      where j.repo_id = due.id and j.lane = 'fetch' and j.kind = 'fetch'
                        and j.state in ('waiting', 'scheduled')) as idle
    from due
)
update leasectl.repository r
   set fetch_due_at = now() + leasectl.fetch_pause(r.id, r.fetch_every, r.fetches_unchanged, r.fetches_failed),
       last_requested_fetch_at = case when wanted.idle then now() else r.last_requested_fetch_at end
  from wanted
 where r.id = wanted.id
returning r.id, wanted.idle
