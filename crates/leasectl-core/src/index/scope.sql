-- The trust domain of a repository, and a ruleset with its extractors. $1 repository, $2 the ruleset's key.
-- Locks: none. Index: repository_pkey, index_domain_name_key, index_ruleset_key_key.
-- Zero rows: there is no such repository. Null: not registered yet.
select d.id as domain_id, s.id as ruleset_id,
       array(select e.name from leasectl.index_ruleset_extractor e where e.ruleset_id = s.id order by e.name) as names,
       array(select e.extractor_id from leasectl.index_ruleset_extractor e where e.ruleset_id = s.id order by e.name)
         as extractor_ids,
       coalesce(s.used_at < now() - interval '10 minutes', false) as unused
  from leasectl.repository r
  left join leasectl.index_domain d on d.name = r.trust_domain
  left join leasectl.index_ruleset s on s.key = $2
 where r.id = $1
