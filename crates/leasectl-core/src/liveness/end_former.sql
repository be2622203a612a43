-- Ends the session that still holds this worker's lock: one whose connection was lost on this side only.
-- $1 key. Only its own worker knows a key, so whoever holds it is a former session of the same worker.
-- Locks: none. Zero rows: nobody holds it any more.
select pg_terminate_backend(l.pid) as ended
  from leasectl.liveness_locks() l
 where l.key = $1::integer and l.pid <> pg_backend_pid()
