-- Names of changes. $1 repository, $2 ids. Locks: none. Index: change_pkey, change_snapshot_pkey.
-- Missing rows: they are gone, or not this repository's.
select c.id, c.family, c.number, c.ref, c.head, s.merge_base
  from leasectl.change c
  join leasectl.change_snapshot s on s.change_id = c.id
 where c.id = any ($2::bigint[]) and c.repo_id = $1
