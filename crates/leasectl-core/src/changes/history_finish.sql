-- Notes that all commits up to one are recorded. $1 repository, $2 the commit (null: the branch has none).
-- Locks: the row of the backfill, inside the fence. Index: backfill_pkey. Zero rows: the repository is gone.
update leasectl.backfill b set history_head = $2 where b.repo_id = $1
