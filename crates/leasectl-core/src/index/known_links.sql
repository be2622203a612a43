-- Links that are there. $1 trust domain, $2 digests. Locks: none. Index: index_links_digest_key.
-- Missing rows: links that are not there.
select k.ord, l.id
  from unnest($2::bytea[]) with ordinality k(digest, ord)
 cross join lateral (select i.id from leasectl.index_links i
                      where i.domain_id = $1 and i.digest = k.digest limit 1) l
