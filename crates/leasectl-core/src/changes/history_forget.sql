-- Deletes commits that a rewritten branch no longer has. $1 repository, $2 epoch, $3 at most so many.
-- Locks: the rows, inside the fence. Index: history_commit_key. Fewer rows than asked for: there are no more.
with gone as materialized (
  select m.id from leasectl.history_commit m where m.repo_id = $1 and m.epoch <> $2 order by m.oid limit $3 for update
)
delete from leasectl.history_commit m where m.id = any (array(select gone.id from gone))
