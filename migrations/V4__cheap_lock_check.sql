-- Asking for one liveness lock without reading all of them: `pg_locks` visits every backend there may be.

-- Whether some session holds the liveness lock with this key. A shared try fails exactly then; one that
-- succeeds ends with its transaction, and stands in nobody's way for longer than that.
create function leasectl.liveness_lock_is_held(key integer) returns boolean
language sql volatile as $$ select not pg_try_advisory_xact_lock_shared(1818583411, key) $$;

-- As before, without such tries: who holds a liveness lock holds it exclusively.
create or replace function leasectl.liveness_locks() returns table (key integer, pid integer)
language sql stable as $$
  select l.objid::integer, l.pid
    from pg_locks l
   where l.locktype = 'advisory' and l.classid = 1818583411::oid and l.objsubid = 2 and l.granted
     and l.mode = 'ExclusiveLock'
     and l.database = (select d.oid from pg_database d where d.datname = current_database())
$$;
