-- A tree that was published for a commit. $1 ruleset, $2 trust domain, $3 commit.
-- The commit of a worktree says nothing of what is in it.
-- Locks: none. Index: index_ref_commit, index_dir_pkey, index_root_pkey; the limits keep a plan that was made for
-- a small table from reading all of it. Zero rows: no ref leads to one.
select d.id as dir_id, o.links_id, d.oid as tree, d.ruleset_id, d.domain_id,
       d.files_below as files, o.blobs, d.bytes_below as bytes, d.symbols_below as symbols
  from leasectl.index_ref f
 cross join lateral (select i.* from leasectl.index_dir i where i.id = f.root_id limit 1) d
 cross join lateral (select i.links_id, i.blobs from leasectl.index_root i where i.dir_id = f.root_id limit 1) o
 where f.commit_oid = $3 and f.ref not like 'refs/worktrees/%' and d.ruleset_id = $1 and d.domain_id = $2
 limit 1
