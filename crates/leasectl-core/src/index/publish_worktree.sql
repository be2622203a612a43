-- Has the ref of a worktree lead to a tree, unless a run that began later has done so.
-- $1 repository, $2 ref, $3 commit, $4 the tree's directory, $5 the run's token.
-- Locks: the ref's row; the repository and the tree as keys.
-- Index: repository_pkey, index_domain_name_key, index_dir_pkey, index_ref_pkey.
-- One row always: is_there is false when the repository is gone, or belongs to another trust domain than the tree.
with whose as (
  select r.id, d.id as dir_id
    from leasectl.repository r
    join leasectl.index_domain m on m.name = r.trust_domain
    join leasectl.index_dir d on d.id = $4 and d.domain_id = m.id
   where r.id = $1
), published as (
  insert into leasectl.index_ref as f (repo_id, ref, commit_oid, root_id, indexed_at, token)
  select w.id, $2, $3, w.dir_id, now(), $5 from whose w
  on conflict (repo_id, ref) do update
     set commit_oid = excluded.commit_oid, root_id = excluded.root_id, indexed_at = excluded.indexed_at,
         token = excluded.token
   where f.token <= excluded.token
  returning 1
)
select exists (select from whose) as is_there, exists (select from published) as is_published
