-- Opens a fenced transaction: proves that the lease is still ours and keeps it so until COMMIT.
-- $1 job id, $2 owner, $3 token.
-- Locks: the job row FOR KEY SHARE. Whatever ends or moves a lease takes FOR UPDATE and so waits;
-- heartbeats are non-key updates and do not (with FOR SHARE they would, and deadlock).
-- Zero rows: the lease is lost.
select 1
  from leasectl.job j
 where j.id = $1 and j.lease_owner = $2 and j.lease_token = $3 and j.state = 'running'
   for key share
