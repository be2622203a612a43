-- The repository of which a worktree was last indexed. $1 ref.
-- Locks: none. Index: none; the refs are read, a row for each branch, tag and worktree, for one command.
-- Zero rows: it was never indexed.
select f.repo_id from leasectl.index_ref f where f.ref = $1 order by f.indexed_at desc limit 1
