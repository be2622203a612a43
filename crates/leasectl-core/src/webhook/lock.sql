-- Takes repositories for whoever will ask for a fetch of them. $1 repositories.
-- Locks: their rows, in the order of their ids. Index: repository_pkey.
-- Zero rows: they were removed meanwhile.
select r.id from leasectl.repository r where r.id = any ($1::uuid[]) order by r.id for no key update
