-- Changes that a pass has to study, in the order of their keys. $1 repository, $2 and $3 the key after which (an empty
-- family: from the first), $4 mode, $5 at most so many.
-- What is not known to be open or closed is studied in every mode, and so is a head that moved. Of what the default
-- branch has outrun, the open ones are in every mode, those that moved in the last seven days in open_and_recent,
-- all of them in full_history. One that failed waits for its time, or until somebody asks.
-- Locks: none. Index: change_key, change_inventory_pkey, backfill_pkey, change_snapshot_pkey, change_failure_pkey.
-- Zero rows: nothing is left to study.
select c.change_id, c.family, c.number, c.ref, c.head, c.test_merge, c.studied_head, c.studied_test_merge,
       c.studied_default_head, c.base, c.merge_base, c.open, c.commit_count, c.tries
  from leasectl.change_state c
 where c.repo_id = $1 and (c.family, c.number) > ($2::text, $3::bigint)
   and c.studied_freshness is distinct from 'current'
   and (c.studied_freshness is null or c.studied_freshness = 'stale_head_changed' or not c.is_openness_known
        or c.open or $4::text = 'full_history'
        or ($4::text = 'open_and_recent' and c.head_moved_at > now() - interval '7 days'))
   and not c.is_parked and (c.retry_at is null or c.retry_at <= now())
 order by c.family, c.number
 limit $5
