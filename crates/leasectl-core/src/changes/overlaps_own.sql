-- Where a change changes its files. $1 change, $2 so many of its files, from the first.
-- Locks: none. Index: change_file_pkey. Missing rows: files without hunks.
select f.ord, f.hunks
  from (select i.ord, i.hunks from leasectl.change_file i where i.change_id = $1 order by i.ord limit $2) f
 where f.hunks is not null
