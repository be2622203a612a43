-- Notes every change of a job, its history, its repository and its branches, and whose connection made it.
create table public.audit (
  at    timestamptz not null default clock_timestamp(),
  who   text        not null default current_setting('application_name'),
  repo  uuid        not null
);
create function public.note_change() returns trigger language plpgsql as $$
declare
  changed jsonb := to_jsonb(coalesce(new, old));
begin
  insert into public.audit (repo) values (coalesce(changed ->> 'repo_id', changed ->> 'id')::uuid);
  return null;
end $$;
create trigger note after insert or update or delete on leasectl.job
  for each row execute function public.note_change();
create trigger note after insert or update or delete on leasectl.job_history
  for each row execute function public.note_change();
create trigger note after insert or update or delete on leasectl.branch
  for each row execute function public.note_change();
create trigger note after insert or update or delete on leasectl.repository
  for each row execute function public.note_change();
