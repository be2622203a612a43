-- The mode and the priority of a job that repeats them. $1 repository.
-- Locks: the row FOR KEY SHARE until the job is committed; only who says another word waits. Index: backfill_pkey.
-- Zero rows: nobody said one, or it is `off`.
select b.mode, b.priority
  from leasectl.backfill b
 where b.repo_id = $1 and b.mode <> 'off'
   for key share
