-- Has a change that failed be tried again now, as if for the first time. $1 change. The row stays, so that a pass which
-- has come past the change sees at its end that something is to be tried.
-- Locks: the row. Index: change_failure_pkey. Zero rows: it had not failed, or somebody asked already.
update leasectl.change_failure f set tries = 0, retry_at = now() where f.change_id = $1 and f.tries > 0
