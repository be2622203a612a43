-- The files of a tree. $1 its directory. Locks: none.
-- Index: index_dir_pkey, index_blob_pkey, index_text_pkey. Zero rows: it has none, or was collected.
select f.path, f.blob_id, f.oid, f.language, f.skip, f.bytes, f.lines from leasectl.index_tree_files($1) f
