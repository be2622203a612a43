-- Files of other open changes that have a path in common with those of a change, before or after a rename.
-- $1 repository, $2 change, $3 so many of its files, from the first.
-- A file comes once for each path that it has in common.
-- Locks: none. Index: change_file_pkey, change_file_path, change_file_old_path, change_snapshot_pkey; the limits keep
-- a plan that was made for a small table from reading all of it. Zero rows: nobody else touches them.
select n.ord as own_ord, n.path, o.change_id, o.ord, o.hunks
  from (select m.ord, p.path, leasectl.change_path_key($1, p.path) as key
          from (select f.ord, f.path, f.old_path from leasectl.change_file f
                 where f.change_id = $2 order by f.ord limit $3) m
         cross join lateral (values (m.path), (m.old_path)) p(path)
         where p.path is not null) n
 cross join lateral (
   select f.change_id, f.ord, f.hunks from leasectl.change_file f where f.path_key = n.key and f.path = n.path
   union all
   select f.change_id, f.ord, f.hunks from leasectl.change_file f
    where f.old_path_key = n.key and f.old_path = n.path) o
 cross join lateral (select s.change_id from leasectl.change_snapshot s
                      where s.change_id = o.change_id and s.open limit 1) s
 where o.change_id <> $2
