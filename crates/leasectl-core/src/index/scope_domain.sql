-- Registers the trust domain of a repository. $1 repository.
-- Locks: the new row, inside the fence. Index: repository_pkey, index_domain_name_key.
-- Zero rows: it is registered, or there is no such repository.
insert into leasectl.index_domain (name)
select r.trust_domain from leasectl.repository r where r.id = $1
on conflict do nothing
