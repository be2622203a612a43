-- Notes that a pass came to its end: every change was looked at. $1 repository.
-- Locks: the row of the backfill, inside the fence. Index: backfill_pkey, change_key, change_failure_retry.
-- One row: when the first change that failed is tried again. Zero rows: the repository is gone.
update leasectl.backfill b
   set pass_is_open = false, finished_at = now(), cursor_family = last.family, cursor_number = last.number,
       cursor_updated_at = now()
  from (select $1::uuid as repo_id) r
  left join lateral (select c.family, c.number from leasectl.change c
                      where c.repo_id = r.repo_id order by c.family desc, c.number desc limit 1) last on true
 where b.repo_id = r.repo_id
returning (select f.retry_at from leasectl.change_failure f
            where f.repo_id = $1 and f.retry_at is not null order by f.retry_at limit 1) as retry_at
