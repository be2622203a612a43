-- Completes taken jobs. $1 ids. Locks: the rows. Index: the primary key. Zero rows: none was taken.
update floor_job f
   set state = 2, finished_at = now(), locked_by = null, lease_until = null
  from unnest($1::bigint[]) as done (id)
 where f.id = done.id and f.locked_by = 'w'
