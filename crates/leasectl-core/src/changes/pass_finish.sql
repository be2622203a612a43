-- Notes that a pass came to its end: every change was looked at. $1 repository, $2 the mode of the pass.
-- Of what failed, only that has a job follow which a pass of this mode would study: see due.sql. Anything else would
-- be found again at the end of that job, and have another one follow at once.
-- Locks: the row of the backfill, inside the fence. Index: backfill_pkey, change_key, change_failure_retry,
-- change_pkey, change_inventory_pkey, change_snapshot_pkey, change_failure_pkey.
-- A change whose test merge was not to be had is due still, and is looked at again in a minute: the remote may offer
-- the same one again, so that no fetch finds anything new.
-- One row: whether there is a newer inventory than when the pass began, so that changes before the cursor may be due,
-- and when the first change that failed, or lacked its test merge, is tried again. Zero rows: the repository is gone.
update leasectl.backfill b
   set pass_is_open = false, finished_at = now(), cursor_family = last.family, cursor_number = last.number,
       cursor_updated_at = now()
  from (select $1::uuid as repo_id) r
  left join lateral (select c.family, c.number from leasectl.change c
                      where c.repo_id = r.repo_id order by c.family desc, c.number desc limit 1) last on true
 where b.repo_id = r.repo_id
returning b.pass_generation < (select i.generation from leasectl.change_inventory i where i.repo_id = $1) as is_outrun,
          least(
            (select f.retry_at
               from leasectl.change_failure f
              cross join lateral (
                select c.change_id from leasectl.change_state c
                 where c.change_id = f.change_id and c.studied_freshness is distinct from 'current'
                   and (c.studied_freshness is null or c.studied_freshness = 'stale_head_changed'
                        or not c.is_openness_known or c.open or $2::text = 'full_history'
                        or ($2::text = 'open_and_recent' and c.head_moved_at > now() - interval '7 days'))
                 limit 1) c
              where f.repo_id = $1 and f.retry_at is not null
              order by f.retry_at
              limit 1),
            (select now() + interval '1 minute'
               from leasectl.change c
              cross join lateral (
                select s.change_id from leasectl.change_snapshot s
                 where s.change_id = c.id and s.head = c.head and s.test_merge is distinct from c.test_merge
                 limit 1) s
              where c.repo_id = $1 and c.test_merge is not null
                and not exists (select from leasectl.change_failure f where f.change_id = c.id and f.head = c.head)
              limit 1)) as retry_at
