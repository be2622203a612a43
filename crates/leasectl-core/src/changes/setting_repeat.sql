-- The mode and the priority of a job that repeats the latest word. $1 repository.
-- A queued job may hold a later word than the row, which learns of it when that job begins. Repeating the row's would
-- make an older word the latest: the repetition is accepted after both.
-- Locks: the row FOR KEY SHARE until the job is committed; only who says another word waits. Index: backfill_pkey, job_dedup.
-- Zero rows: nobody said one, or it is `off`.
select coalesce(queued.mode, b.mode) as mode, b.priority
  from leasectl.backfill b
  left join lateral (
    select j.args ->> 'mode' as mode
      from leasectl.job j
     where j.repo_id = $1 and j.kind = 'backfill' and j.dedup_key is not null and j.created_at > b.said_at
     order by j.created_at desc
     limit 1) queued on true
 where b.repo_id = $1 and coalesce(queued.mode, b.mode) <> 'off'
   for key share of b
