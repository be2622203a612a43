-- Which of these changes are still there; they stay until the transaction ends. $1 repository, $2 ids.
-- Locks: the rows FOR KEY SHARE, inside the fence, in the order of their ids, as inventory_delete.sql takes them; a
-- fetch that moves their heads does not wait. Index: change_pkey. Missing rows: a fetch has deleted them.
select c.id from leasectl.change c
 where c.id = any ($2::bigint[]) and c.repo_id = $1
 order by c.id
   for key share
