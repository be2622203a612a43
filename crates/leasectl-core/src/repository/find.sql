-- One repository. $1 id, $2 name, $3 canonical URL: exactly one is given.
-- Locks: none. Index: repository_pkey, repository_name_key, repository_git_url_key.
-- Zero rows: there is none.
select id, name, git_url, default_branch, head,
       extract(epoch from fetch_every)::float8 as fetch_every_s, created_at, last_successful_fetch_at
  from leasectl.repository
 where id = $1::uuid or name = $2::text or git_url = $3::text
