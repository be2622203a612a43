-- Has a ref lead to a tree. $1 repository, $2 ref, $3 commit, $4 the tree's directory, $5 the lease's token.
-- Locks: the ref's row, inside the fence; the repository and the tree as keys.
-- Index: repository_pkey, index_domain_name_key, index_dir_pkey, index_ref_pkey.
-- Zero rows: the repository is gone, or belongs to another trust domain than the tree.
insert into leasectl.index_ref as f (repo_id, ref, commit_oid, root_id, indexed_at, token)
select r.id, $2, $3, d.id, now(), $5
  from leasectl.repository r
  join leasectl.index_domain m on m.name = r.trust_domain
  join leasectl.index_dir d on d.id = $4 and d.domain_id = m.id
 where r.id = $1
on conflict (repo_id, ref) do update
   set commit_oid = excluded.commit_oid, root_id = excluded.root_id, indexed_at = excluded.indexed_at,
       token = excluded.token
