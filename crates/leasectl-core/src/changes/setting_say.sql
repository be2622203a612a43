-- Says a mode and a priority. $1 repository, $2 mode, $3 priority.
-- Locks: the row as a key, so that whoever repeats the word in a job has committed it, or will read the new one: its
-- time is later than that of any job that repeats an earlier word. Index: backfill_pkey.
-- Zero rows: there is no such repository.
with held as materialized (select b.repo_id from leasectl.backfill b where b.repo_id = $1 for update)
update leasectl.backfill b
   set mode = $2, priority = $3, said_at = clock_timestamp()
  from held
 where b.repo_id = held.repo_id
