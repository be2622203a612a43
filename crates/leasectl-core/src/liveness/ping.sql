-- Asks whether the session lives and is still the same one, and takes the detector's lock if it is free.
-- Not to be asked by the detector: locks are counted. Locks: the detector's advisory lock; never waits.
-- One row always.
select pg_backend_pid() as pid, leasectl.try_liveness_lock(0) as detects
