-- Forgets the branches of a repository that are not there any more, whenever they were published: an index may have
-- ended after the fetch that missed its branch. $1 repository, $2 the branches that it has.
-- Tags, worktrees and other refs have their whole name, commits their id. Locks: the rows that go, inside the fence.
-- Index: index_ref_pkey. Zero rows: none of them was indexed.
delete from leasectl.index_ref f
 where f.repo_id = $1 and f.ref <> all ($2::text[])
   and f.ref not like 'refs/%' and f.ref !~ '^([0-9a-f]{40}|[0-9a-f]{64})$'
