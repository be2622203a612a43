-- Empties the snapshots of changes that are studied anew. $1 ids.
-- Locks: the rows, inside the fence and under those of their changes. Index: change_file_pkey, change_commit_pkey.
-- Zero rows: they had none.
with files as (delete from leasectl.change_file f where f.change_id = any ($1::bigint[]))
delete from leasectl.change_commit m where m.change_id = any ($1::bigint[])
