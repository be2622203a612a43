-- The mode and the priority of a repository's backfill. $1 repository. Locks: none. Index: backfill_pkey.
-- Zero rows: nobody said one.
select b.mode, b.priority, b.said_at from leasectl.backfill b where b.repo_id = $1 and b.mode is not null
