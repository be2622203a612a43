-- Makes a directory a tree that answers. $1 its directory, $2 the links of its imports.
-- Locks: the new row, inside the fence; the directory and the links as keys, where only the collector is in the
-- way. Index: index_root_pkey, index_dir_pkey. Zero rows: it is one already.
insert into leasectl.index_root (dir_id, links_id, blobs)
select $1, $2,
       (select count(distinct b.id)
          from leasectl.index_walk($1, null) w cross join lateral unnest(w.file_blobs) b(id))
 where not exists (select from leasectl.index_root o where o.dir_id = $1)
on conflict do nothing
