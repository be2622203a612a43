-- The inventory as it is. $1 repository. Locks: its row, inside the fence: one writer at a time.
-- Index: change_inventory_pkey. Zero rows: the repository is gone.
select i.generation, i.default_head from leasectl.change_inventory i where i.repo_id = $1 for no key update
