-- The change of a number. $1 repository, $2 families in which to look, $3 number. Of several families with that
-- number the last one is meant, as they are sorted: pull requests go first. Locks: none. Index: change_key.
-- Zero rows: there is none.
select c.id from leasectl.change c
 where c.repo_id = $1 and c.family = any ($2::text[]) and c.number = $3
 order by c.family desc
 limit 1
