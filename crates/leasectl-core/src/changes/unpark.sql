-- Has a change that failed be tried again by the next pass. $1 change.
-- Locks: the row. Index: change_failure_pkey. Zero rows: it had not failed.
delete from leasectl.change_failure f where f.change_id = $1
