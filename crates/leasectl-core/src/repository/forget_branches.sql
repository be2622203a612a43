-- Forgets branches that the remote no longer has. $1 repository, $2 the names that it has.
-- Locks: the rows that go, inside the fence. Index: branch_pkey.
-- One row for each that went; zero rows: none went.
delete from leasectl.branch b
 where b.repo_id = $1 and b.name <> all ($2::text[])
returning b.name
