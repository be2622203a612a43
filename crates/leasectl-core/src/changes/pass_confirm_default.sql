-- Notes the head of the default branch that a pass works with. $1 repository, $2 head, $3 whether the branch was
-- rewritten: then all that was studied is to be looked at again, from the first change on, and the history too.
-- Locks: the row of the backfill, inside the fence. Index: backfill_pkey. Zero rows: the repository is gone.
update leasectl.backfill b
   set default_head = $2,
       epoch = case when $3 then b.epoch + 1 else b.epoch end,
       history_head = case when $3 then null else b.history_head end,
       cursor_family = case when $3 then null else b.cursor_family end,
       cursor_number = case when $3 then null else b.cursor_number end,
       cursor_updated_at = case when $3 then null else b.cursor_updated_at end
 where b.repo_id = $1
returning b.epoch, b.cursor_family, b.cursor_number, b.history_head
