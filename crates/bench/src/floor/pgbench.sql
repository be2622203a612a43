-- The two statements as one pgbench transaction; :bs is the batch.
with next as (
  select id from floor_job
   where state = 0 and run_at <= now()
   order by run_at, id
   limit :bs
     for update skip locked
), taken as (
  update floor_job f
     set state = 1, locked_by = 'w', lease_until = now() + interval '30 s', attempts = attempts + 1
    from next where f.id = next.id
  returning f.id, f.payload
)
select coalesce(array_agg(id), '{}')::text as ids, count(payload) as n from taken \gset
update floor_job f
   set state = 2, finished_at = now(), locked_by = null, lease_until = null
  from unnest(:ids::bigint[]) as done (id)
 where f.id = done.id and f.locked_by = 'w';
