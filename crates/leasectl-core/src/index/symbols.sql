-- The symbols of a tree. $1 its directory, $2 a name, or null for every one. Locks: none.
-- Index: index_dir_pkey, index_tags_pkey. Zero rows: it has none, or was collected.
select s.path, s.name, s.kind, s.line_start, s.line_end from leasectl.index_tree_symbols($1, $2) s
