-- What every other migration stands on: kinds of numbers, whose request this is, and who may do what unless told.
--
-- Written for Supabase (PostgreSQL 15 or newer) and run as its role `postgres`, by the Supabase CLI, by psql or by
-- `scorehouse db migrate`. The tables are those of sql/migrations/sqlite, column by column; a test compares them.
--
-- Times are timestamptz, meant in UTC. Durations are milliseconds (_ms), money is USD (_usd, cost), prices are USD per
-- 1M tokens (_per_m), shares lie on 0..1. Unknown is null, never 0.
--
-- An event table (benchmark_results, request_events, ...) is append-only. `commit_seq` numbers its rows as they were inserted and
-- `txid` says by which transaction: what is below the oldest running transaction is complete, so reading by that horizon misses
-- nothing, which reading by time or number would.

-- A new table or function is nobody's until a migration grants it: a hosted project grants everything to everyone.
alter default privileges in schema public revoke all on tables from anon, authenticated;
alter default privileges in schema public revoke all on sequences from anon, authenticated;
alter default privileges in schema public revoke all on functions from anon, authenticated;
alter default privileges revoke execute on functions from public;

-- A NaN is greater than everything, infinity included, so an upper bound keeps it out as well.
create domain public.finite as double precision check (value > '-infinity' and value < 'infinity');
create domain public.amount as double precision check (value >= 0 and value < 'infinity');
create domain public.share as double precision check (value >= 0 and value <= 1);
create domain public.whole as bigint check (value >= 0);
create domain public.object as jsonb check (jsonb_typeof(value) = 'object');
create domain public.list as jsonb check (jsonb_typeof(value) = 'array');
comment on domain public.finite is 'A number that is neither NaN nor infinite';
comment on domain public.amount is 'A finite number from 0 up: milliseconds, USD, tokens a second';
comment on domain public.share is 'A number from 0 to 1';
comment on domain public.whole is 'A whole number from 0 up';
comment on domain public.object is 'A JSON object';
comment on domain public.list is 'A JSON list';

-- What PostgREST does not serve: helpers of the policies, and the partitions behind the big tables.
create schema scorehouse;
create schema partitions;
comment on schema scorehouse is 'Helpers of policies and triggers; not served by REST';
comment on schema partitions is 'The monthly partitions of the event tables; read and written through their parents only';
grant usage on schema scorehouse to authenticated, service_role;

-- Who asks, by the signed token. `app_metadata` is an administrator's to write; `user_metadata` is the account's own
-- and is never believed. Each policy wraps a call in a subselect, so that it is evaluated once for a query.
create function scorehouse.claim(name text) returns text
language sql stable set search_path = '' as $$
    select nullif(auth.jwt() -> 'app_metadata' ->> name, '')
$$;
create function scorehouse.claimed_role() returns text
language sql stable set search_path = '' as $$
    select coalesce(scorehouse.claim('role'), 'user')
$$;
create function scorehouse.claimed_tenant() returns text
language sql stable set search_path = '' as $$
    select scorehouse.claim('tenant_id')
$$;
create function scorehouse.claimed_agent() returns text
language sql stable set search_path = '' as $$
    select scorehouse.claim('agent_id')
$$;
create function scorehouse.claimed_user() returns text
language sql stable set search_path = '' as $$
    select nullif(auth.jwt() ->> 'sub', '')
$$;
comment on function scorehouse.claimed_role() is 'platform_admin, tenant_admin, user or agent; an account without a role is a user';
grant execute on all functions in schema scorehouse to authenticated, service_role;

-- Comments for one table and all of its columns. A column without one, or a comment without a column, fails the migration.
create function scorehouse.describe(described regclass, about text, columns jsonb default '{}') returns void
language plpgsql set search_path = '' as $$
declare
    common constant jsonb := '{
        "id": "UUID of the row",
        "commit_seq": "Number of the row in the order of insertion; the store''s own",
        "txid": "Transaction that inserted the row; the store''s own",
        "created_at": "When it happened (UTC)",
        "updated_at": "When somebody last changed the row (UTC)",
        "is_simulated": "Whether it comes from the simulated providers; such evidence is never mixed with real",
        "tenant_id": "Tenant (organization) it belongs to, as in app_metadata.tenant_id of a token; null: nobody''s",
        "user_id": "Account it belongs to: the sub of a token, else the caller''s own id for it",
        "agent_id": "Agent it belongs to: the agent''s key",
        "model": "Key of the model: provider key / the provider''s id for it",
        "provider": "Key of the provider",
        "domain": "Domain it is about (math, coding, ...)",
        "task_type": "Type of the task (code, summarization, ...)"
    }';
    texts constant jsonb := common || columns;
    name text;
begin
    execute format('comment on %s %s is %L', case
        when (select relkind = 'v' from pg_catalog.pg_class where oid = described) then 'view' else 'table'
    end, described, about);
    for name in
        select coalesce(a.attname, given.key)
        from (
            select attname from pg_catalog.pg_attribute
            where attrelid = described and attnum > 0 and not attisdropped
        ) as a
        full outer join jsonb_object_keys(columns) as given (key) on a.attname = given.key
    loop
        if not texts ? name then
            raise exception 'the column %.% has no comment', described, name;
        end if;
        execute format('comment on column %s.%I is %L', described, name, texts ->> name);
    end loop;
end
$$;
revoke execute on function scorehouse.describe(regclass, text, jsonb) from public, authenticated, service_role;

-- The identity of this database: a new one when it is made anew, and watermarks of another epoch are void.
create table public.store_epoch (
    epoch text not null primary key,
    created_at timestamptz not null default now()
);
insert into public.store_epoch (epoch) values (gen_random_uuid()::text);
select scorehouse.describe('public.store_epoch', 'The identity of this database, in one row', '{
    "epoch": "UUID; another one after the database was made anew: watermarks of the old one are void"
}');
