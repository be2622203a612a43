-- Forgets changes that the remote no longer has, with all that is known of them. $1 their ids.
-- Locks: the rows, inside the fence, in the order of their ids, as record_lock.sql takes them; then what hangs below.
-- Index: change_pkey. Zero rows: they were gone.
with gone as materialized (
  select c.id from leasectl.change c where c.id = any ($1::bigint[]) order by c.id for update
)
delete from leasectl.change c where c.id = any (array(select gone.id from gone))
