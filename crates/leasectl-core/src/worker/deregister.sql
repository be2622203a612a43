-- Removes a worker's row. $1 owner. Locks: the row. Index: worker_pkey. Zero rows: it is gone already.
delete from leasectl.worker w where w.owner = $1
