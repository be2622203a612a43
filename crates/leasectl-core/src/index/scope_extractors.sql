-- Registers versions of extractors. $1 names, $2 their versions.
-- Locks: the new rows, inside the fence, in the order of their names. Index: index_extractor_name_key.
-- Zero rows: all are registered. Those are left out first: an attempt would use up one of 32,767 numbers.
insert into leasectl.index_extractor (name, version)
select e.name, e.version from unnest($1::text[], $2::integer[]) e(name, version)
 where not exists (select from leasectl.index_extractor x where x.name = e.name and x.version = e.version)
 order by e.name, e.version
on conflict do nothing
