-- Collects rulesets that no directory has. $1 seconds of grace. Locks: the rows that go, passing over those that
-- somebody holds. Index: index_ruleset_pkey, index_dir_key. One row always.
select c.deleted from leasectl.index_collect_rulesets($1::float8 * interval '1 second') c(deleted)
