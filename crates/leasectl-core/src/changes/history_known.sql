-- The commits that were recorded in an epoch. $1 repository, $2 epoch. Locks: none. Index: history_commit_key.
-- Zero rows: none was.
select m.oid from leasectl.history_commit m where m.repo_id = $1 and m.epoch = $2
