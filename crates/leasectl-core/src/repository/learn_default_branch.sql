-- Notes the default branch of a repository of which none is known. $1 repository, $2 its name.
-- Locks: the repository's row, inside the fence. Zero rows: one is known, or the repository is gone.
update leasectl.repository r set default_branch = $2 where r.id = $1 and r.default_branch is null
