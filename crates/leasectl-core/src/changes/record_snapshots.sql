-- Writes what was found of changes. $1 epoch, $2 head of the default branch; for each change $3 id, $4 head, $5 test
-- merge, $6 base, $7 merge base, $8 whether it is open, $9 digest, $10 commits, $11 files, $12 additions,
-- $13 deletions, $14 the limits that were met, with a blank between.
-- Locks: the rows, inside the fence and under those of their changes. Index: change_snapshot_pkey.
insert into leasectl.change_snapshot as s
      (change_id, head, test_merge, default_head, epoch, base, merge_base, open, digest, commit_count, file_count,
       additions, deletions, limits)
select n.change_id, n.head, n.test_merge, $2, $1, n.base, n.merge_base, n.open, n.digest, n.commit_count,
       n.file_count, n.additions, n.deletions, string_to_array(n.limits, ' ')
  from unnest($3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::boolean[], $9::bytea[],
              $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[])
       n(change_id, head, test_merge, base, merge_base, open, digest, commit_count, file_count, additions, deletions,
         limits)
 order by n.change_id
on conflict (change_id) do update
   set head = excluded.head, test_merge = excluded.test_merge, default_head = excluded.default_head,
       epoch = excluded.epoch, base = excluded.base, merge_base = excluded.merge_base, open = excluded.open,
       digest = excluded.digest, commit_count = excluded.commit_count, file_count = excluded.file_count,
       additions = excluded.additions, deletions = excluded.deletions, limits = excluded.limits,
       studied_at = excluded.studied_at, checked_at = excluded.checked_at
