-- Takes a liveness lock for this session, or answers false at once. $1 key.
-- Locks: the advisory lock; never waits. Not to be repeated once it is held: locks are counted.
-- One row always.
select leasectl.try_liveness_lock($1::integer) as held
