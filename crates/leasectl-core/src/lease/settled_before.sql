-- Which of these settlements were applied earlier: the answer to them was lost on the way.
-- $1 job ids, $2 tokens. Locks: none. Index: job_history_pkey, job_pkey.
-- A row that does not come back was never applied: the lease was lost.
select i.id, i.token
  from unnest($1::uuid[], $2::bigint[]) as i (id, token)
 where exists (select from leasectl.job_history h
                where h.id = i.id
                  and ((h.token = i.token and h.outcome <> 'lost')
                       or exists (select from jsonb_array_elements(h.attempts) a
                                   where (a ->> 'token')::bigint = i.token and a ->> 'outcome' <> 'lost')))
    or exists (select from leasectl.job j, jsonb_array_elements(j.attempts) a
                where j.id = i.id and (a ->> 'token')::bigint = i.token and a ->> 'outcome' <> 'lost')
