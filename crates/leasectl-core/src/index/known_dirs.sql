-- Directories that are there. $1 ruleset, $2 trust domain, $3 tree objects, $4 their contexts.
-- Locks: none. Index: index_dir_key; the limit keeps a plan that was made for a small table from reading all
-- of it. Missing rows: directories that are not there.
select k.ord, d.id
  from unnest($3::bytea[], $4::bytea[]) with ordinality k(oid, context, ord)
 cross join lateral (select i.id from leasectl.index_dir i
                      where i.ruleset_id = $1 and i.domain_id = $2 and i.oid = k.oid and i.context = k.context
                      limit 1) d
