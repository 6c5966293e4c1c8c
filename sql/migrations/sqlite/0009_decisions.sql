-- How many models passed every limit of a decision: its candidates are only the first of them.
alter table routing_decisions add column passed integer check (passed >= 0);
