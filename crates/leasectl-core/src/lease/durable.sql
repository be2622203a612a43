-- Notes that this lease committed progress which a successor need not repeat.
-- $1 job id, $2 owner, $3 token. Locks: a non-key row lock, inside the fence; heartbeats skip the row
-- while it is held, so it is the last statement before COMMIT. Index: job_pkey.
-- Zero rows: the lease is lost.
update leasectl.job j
   set durable = true, crashes = 0
 where j.id = $1 and j.lease_owner = $2 and j.lease_token = $3 and j.state = 'running'
