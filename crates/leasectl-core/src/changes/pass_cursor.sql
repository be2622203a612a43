-- Notes how far a pass has come. $1 repository, $2 family, $3 number.
-- Locks: the row of the backfill, inside the fence. Index: backfill_pkey. Zero rows: the repository is gone.
update leasectl.backfill b
   set cursor_family = $2, cursor_number = $3, cursor_updated_at = now()
 where b.repo_id = $1
