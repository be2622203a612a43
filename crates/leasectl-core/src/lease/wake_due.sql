-- Wakes jobs whose time has come: they join their lane's queue. The head of a stack lane, which
-- held its lane meanwhile, becomes ready at once. $1 at most so many.
-- Locks: the rows FOR NO KEY UPDATE, skipping locked ones. Index: job_due, job_pkey; joined as in bury.sql.
-- Zero rows: nothing is due.
with due as (
  select d.id from leasectl.job d
   where d.state = 'scheduled' and d.not_before <= now()
   order by d.not_before
   limit $1
     for no key update skip locked
)
update leasectl.job j
   set state = case j.lane when 'stack' then 'ready' else 'waiting' end
  from due
 where j.id = due.id
returning j.repo_id, j.lane
