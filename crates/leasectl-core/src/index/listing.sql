-- The names in each directory of a tree. $1 its directory. Locks: none. Index: index_dir_pkey.
-- Zero rows: it was collected.
select w.prefix, string_to_array(w.file_names, '/') as files, string_to_array(w.dir_names, '/') as dirs
  from leasectl.index_walk($1, null) w
