-- Notes that the inventory is another one. $1 repository, $2 head of the default branch (null: none).
-- Locks: the inventory's row, inside the fence. Index: change_inventory_pkey. Zero rows: the repository is gone.
update leasectl.change_inventory i
   set generation = i.generation + 1, default_head = $2, recorded_at = now()
 where i.repo_id = $1
returning i.generation
