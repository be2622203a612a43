-- Takes repositories for whoever will ask for a fetch of them, unless somebody else has one. $1 repositories.
-- Locks: their rows, skipping locked ones; never waits. Index: repository_pkey.
-- Missing rows: somebody else has them, or they were removed meanwhile.
select r.id from leasectl.repository r where r.id = any ($1::uuid[]) for no key update skip locked
