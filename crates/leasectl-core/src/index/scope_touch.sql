-- Notes that a run works with a ruleset, which keeps it from being collected. $1 ruleset.
-- Locks: its row, inside the fence, unlike a key: who stores directories does not wait.
-- Index: index_ruleset_pkey. Zero rows: it was collected; storing will say so.
update leasectl.index_ruleset s set used_at = now() where s.id = $1
