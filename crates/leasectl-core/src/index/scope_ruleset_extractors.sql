-- Writes which extractors a ruleset has. $1 its key, $2 names, $3 versions.
-- Locks: the new rows, inside the fence, in the order of their names; the ruleset and the extractors as keys.
-- Index: index_ruleset_key_key, index_extractor_name_key. Zero rows: they are written.
insert into leasectl.index_ruleset_extractor (ruleset_id, name, extractor_id)
select s.id, e.name, x.id
  from leasectl.index_ruleset s
 cross join unnest($2::text[], $3::integer[]) e(name, version)
  join leasectl.index_extractor x on x.name = e.name and x.version = e.version
 where s.key = $1
 order by e.name
on conflict do nothing
