-- The imports of a tree. $1 its directory, $2 its links, or null. Locks: none.
-- Index: index_dir_pkey, index_links_pkey, index_tags_pkey. Zero rows: it has none, or was collected.
select i.path, i.kind, i.target, i.resolved_path, i.line from leasectl.index_tree_imports($1, $2) i
