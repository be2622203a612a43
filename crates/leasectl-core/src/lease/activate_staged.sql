-- Activates jobs that leasectl.enqueue staged and whose transaction has committed.
-- $1 at most so many. Locks: the rows FOR UPDATE, skipping locked ones. Index: job_staged.
-- Zero rows: none is staged.
with staged as materialized (
  select j.id, j.repo_id, j.lane from leasectl.job j
   where j.staged
   order by j.seq
   limit $1
     for update skip locked
)
select staged.repo_id, staged.lane, leasectl.activate_staged(staged.id)::text as done from staged
