-- Activates jobs that leasectl.enqueue staged and whose transaction has committed.
-- $1 at most so many. Locks: the rows FOR UPDATE, skipping locked ones; then equal jobs, in the order
-- of enqueue.sql, so that a sweep and a batch never wait for each other in a circle. Index: job_staged.
-- Zero rows: none is staged.
with staged as materialized (
  select j.id, j.seq, j.repo_id, j.lane, j.kind, j.args from leasectl.job j
   where j.staged
   order by j.seq
   limit $1
     for update skip locked
), ordered as materialized (
  select staged.id, staged.repo_id, staged.lane from staged
   order by staged.repo_id, staged.lane, staged.kind, leasectl.dedup_key(staged.args), staged.seq
)
select ordered.repo_id, ordered.lane, leasectl.activate_staged(ordered.id)::text as done from ordered
