-- Writes a kind's specification for leasectl.enqueue.
-- $1 name, $2 lane, $3 arguments. Locks: the kind's row, only if something changed.
insert into leasectl.kind as k (name, lane, args) values ($1, $2, $3)
on conflict (name) do update set lane = excluded.lane, args = excluded.args
 where (k.lane, k.args) is distinct from (excluded.lane, excluded.args)
