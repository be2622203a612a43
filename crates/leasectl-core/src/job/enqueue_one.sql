-- Inserts a job that collided, as waiting, or merges it into the equal job that was never claimed:
-- the higher priority and the earlier time win.
-- $1 id, $2 seq, $3 repository, $4 kind, $5 lane, $6 canonical args, $7 priority, $8 absolute time,
-- $9 delay in seconds.
-- Locks: the new or the equal row until the transaction ends, so that a job handed back as the
-- duplicate cannot start before the caller's commit. Index: job_dedup.
-- Always one row.
insert into leasectl.job as j (id, seq, repo_id, kind, lane, args, dedup_key, priority, not_before, state)
select $1::uuid, $2::bigint, $3::uuid, $4::text, $5::text, $6::jsonb, leasectl.dedup_key($6::jsonb), $7::smallint,
       t.not_before, case when $5 <> 'stack' and t.not_before > now() then 'scheduled' else 'waiting' end
  from (select coalesce($8::timestamptz, now() + $9::float8 * interval '1 second') as not_before) t
on conflict (repo_id, kind, dedup_key) where dedup_key is not null do update
   set priority = greatest(j.priority, excluded.priority),
       not_before = case when j.not_before is null or excluded.not_before is null then null
                         else least(j.not_before, excluded.not_before) end,
       state = case when j.state <> 'scheduled' or excluded.not_before > now() then j.state
                    when j.lane = 'stack' then 'ready'
                    else 'waiting' end
returning j.id
