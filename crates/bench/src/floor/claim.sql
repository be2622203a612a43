-- Takes the next jobs. $1 at most so many. Locks: the rows, skipping locked ones.
-- Index: floor_job_ready. Zero rows: nothing is ready.
with next as (
  select id from floor_job
   where state = 0 and run_at <= now()
   order by run_at, id
   limit $1
     for update skip locked
)
update floor_job f
   set state = 1, locked_by = 'w', lease_until = now() + interval '30 s', attempts = attempts + 1
  from next where f.id = next.id
returning f.id, f.payload
