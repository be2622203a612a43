-- Which running jobs of an owner were asked to stop.
-- $1 owner. Locks: none. Index: job_cancel. Zero rows: none was.
select j.id from leasectl.job j
 where j.cancel_requested and j.lease_owner = $1 and j.state = 'running'
