-- Registers a ruleset. $1 its key. Locks: the new row, inside the fence. Index: index_ruleset_key_key.
-- Zero rows: it is registered.
insert into leasectl.index_ruleset (key) values ($1) on conflict do nothing
