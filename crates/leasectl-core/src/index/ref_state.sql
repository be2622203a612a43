-- Where a ref stands. $1 repository, $2 ref. Locks: none.
-- Index: index_ref_pkey, index_root_pkey, index_dir_pkey. Zero rows: it was never indexed.
select f.commit_oid, f.indexed_at, d.id as dir_id, o.links_id, d.oid as tree, d.ruleset_id, d.domain_id,
       d.files_below as files, o.blobs, d.bytes_below as bytes, d.symbols_below as symbols
  from leasectl.index_ref f
  join leasectl.index_root o on o.dir_id = f.root_id
  join leasectl.index_dir d on d.id = f.root_id
 where f.repo_id = $1 and f.ref = $2
