-- The files of a change, in the order in which Git has them. $1 change. Locks: none. Index: change_file_pkey.
-- Zero rows: it touches none, or was not studied.
select f.path, f.old_path, f.status, f.additions, f.deletions, f.blob, f.hunks
  from leasectl.change_file f
 where f.change_id = $1
 order by f.ord
