-- Forgets refs of a repository. $1 repository, $2 refs. Locks: the rows that go, inside the fence.
-- Index: index_ref_pkey. Zero rows: none of them was indexed.
delete from leasectl.index_ref f where f.repo_id = $1 and f.ref = any ($2::text[])
