-- Notes why changes could not be studied. $1 repository, $2 tries after which one is parked; for each change $3 id,
-- $4 head, $5 error. The next try is a minute later, then two, four and eight; another head begins anew.
-- Locks: the rows, inside the fence and under those of their changes. Index: change_failure_pkey.
insert into leasectl.change_failure as f (change_id, repo_id, head, tries, retry_at, error)
select n.change_id, $1, n.head, 1, now() + interval '1 minute', n.error
  from unnest($3::bigint[], $4::bytea[], $5::jsonb[]) n(change_id, head, error)
 order by n.change_id
on conflict (change_id) do update
   set tries = case when f.head = excluded.head then f.tries + 1 else 1 end,
       retry_at = case when f.head <> excluded.head then excluded.retry_at
                       when f.tries + 1 >= $2::smallint then null
                       else now() + least(interval '1 minute' * (2 ^ least(f.tries, 6)), interval '1 hour') end,
       head = excluded.head, error = excluded.error, failed_at = now()
