-- Asks whether the session lives and is still the same one, takes the detector's lock if it is free, and
-- tells whether there is any job that has not ended: an idle worker need not ask for that again.
-- Not to be asked by the detector: locks are counted. Locks: the detector's advisory lock; never waits.
-- Index: job_pkey. One row always.
select pg_backend_pid() as pid, leasectl.try_liveness_lock(0) as detects,
       exists (select from leasectl.job) as any_job
