-- Registers treatments. $1 languages, $2 whether the text is searched, $3 extractors, $4 reasons.
-- Locks: the new rows, inside the fence, in the order of the key. Index: index_treatment_key.
-- Zero rows: somebody else registered them.
insert into leasectl.index_treatment (language, text, tags, skip)
select t.language, t.text, t.tags, t.skip
  from unnest($1::text[], $2::boolean[], $3::text[], $4::text[]) t(language, text, tags, skip)
 order by coalesce(t.language, ''), t.text, coalesce(t.tags, ''), coalesce(t.skip, '')
on conflict do nothing
