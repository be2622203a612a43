-- A tree that was published before. $1 ruleset, $2 trust domain, $3 tree object.
-- Locks: none. Index: index_dir_key, index_root_pkey. Zero rows: it was not.
select d.id as dir_id, o.links_id, d.oid as tree, d.ruleset_id, d.domain_id,
       d.files_below as files, o.blobs, d.bytes_below as bytes, d.symbols_below as symbols
  from leasectl.index_dir d
  join leasectl.index_root o on o.dir_id = d.id
 where d.ruleset_id = $1 and d.domain_id = $2 and d.oid = $3 and d.context = ''
