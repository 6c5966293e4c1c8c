-- How many models passed every limit of a decision: its candidates are only the first of them.
alter table public.routing_decisions add column passed bigint check (passed >= 0);
comment on column public.routing_decisions.passed is
'Models that passed every limit: candidates are only the first of them; null: unknown';

notify pgrst, 'reload schema';
