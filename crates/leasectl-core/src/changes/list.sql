-- Changes, the highest number of a family first. $1 repository, $2 and $3 the key before which (null: from the last),
-- $4 whether they are open (null: any), $5 only parked ones, $6 number (null: any), $7 family (null: any), $8 at most
-- so many. Planned anew for the filters that are given.
-- Locks: none. Index: change_key, change_inventory_pkey, backfill_pkey, change_snapshot_pkey, change_failure_pkey.
-- Zero rows: no more.
select c.family, c.number, c.ref, c.head, c.studied_head, c.base, c.merge_base, c.open, c.freshness,
       c.commit_count, c.file_count, c.additions, c.deletions, c.limits, c.head_moved_at, c.studied_at, c.checked_at,
       c.tries, c.is_parked, c.retry_at, c.error
  from leasectl.change_state c
 where c.repo_id = $1
   and ($2::text is null or (c.family, c.number) < ($2::text, $3::bigint))
   and ($4::boolean is null or c.open = $4)
   and (not $5::boolean or c.is_parked)
   and ($6::bigint is null or c.number = $6)
   and ($7::text is null or c.family = $7)
 order by c.family desc, c.number desc
 limit $8
