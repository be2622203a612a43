-- Counts a fetch that ends in an error: the repository stays dirty, and its schedule backs off.
-- $1 repository, $2 the job that failed.
-- Locks: the repository's row, inside the fence. Index: repository_pkey, job_pkey.
-- Zero rows: the repository was removed meanwhile.
update leasectl.repository r
   set dirty_since = coalesce(r.dirty_since, j.created_at),
       fetches_failed = least(r.fetches_failed + 1, 1000),
       fetch_due_at = case when r.fetch_every is null then r.fetch_due_at
                           else now() + leasectl.fetch_pause(r.id, r.fetch_every, 0,
                                                             least(r.fetches_failed + 1, 1000)) end
  from leasectl.job j
 where r.id = $1 and j.id = $2
