-- Forgets why changes failed that were studied now. $1 ids. Locks: the rows, inside the fence and under those of
-- their changes. Index: change_failure_pkey. Zero rows: none had failed.
delete from leasectl.change_failure f where f.change_id = any ($1::bigint[])
