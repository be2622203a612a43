-- Forgets the refs of worktrees that nobody has indexed for long. $1 seconds, $2 rows.
-- Locks: the rows that go, passing over those that somebody publishes.
-- Index: index_ref_pkey; the refs are read, a row for each branch, tag and worktree. Zero rows: never.
with old as (
  select f.repo_id, f.ref
    from leasectl.index_ref f
   where starts_with(f.ref, 'refs/worktrees/') and f.indexed_at <= now() - $1::float8 * interval '1 second'
   order by f.repo_id, f.ref limit $2 for update skip locked
), gone as (
  delete from leasectl.index_ref f using old o
   where f.repo_id = o.repo_id and f.ref = o.ref
  returning 1
)
select count(*)::integer as deleted from gone
