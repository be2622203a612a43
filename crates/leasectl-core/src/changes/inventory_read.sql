-- The changes that a repository had at the last fetch. $1 repository. Locks: none. Index: change_key.
-- Zero rows: it had none.
select c.id, c.family, c.number, c.ref, c.head, c.test_merge from leasectl.change c where c.repo_id = $1
