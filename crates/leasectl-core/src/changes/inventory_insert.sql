-- Writes changes that were not there before. $1 repository, $2 families, $3 numbers, $4 refs, $5 heads, $6 test
-- merges (null for none). Locks: the new rows, inside the fence; the repository as a key. Index: change_key.
-- Zero rows: none is new.
insert into leasectl.change (repo_id, family, number, ref, head, test_merge)
select $1, n.family, n.number, n.ref, n.head, n.test_merge
  from unnest($2::text[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[]) n(family, number, ref, head, test_merge)
 order by n.family, n.number
