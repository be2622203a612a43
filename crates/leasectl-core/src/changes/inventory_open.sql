-- Makes sure that a repository has an inventory. $1 repository.
-- Locks: the new row, inside the fence; the repository as a key. Index: change_inventory_pkey, repository_pkey.
-- Zero rows: it has one, or there is no such repository.
insert into leasectl.change_inventory (repo_id, generation)
select r.id, 0
  from leasectl.repository r
 where r.id = $1
   and not exists (select from leasectl.change_inventory i where i.repo_id = $1)
on conflict do nothing
