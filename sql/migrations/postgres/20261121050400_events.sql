-- What happens outside the engine: live requests, opinions on them, caches and batches.
--
-- request_events and feedback_events are partitioned by month (UTC) of created_at. `make_partitions` makes those of the months
-- to come; `prune` calls it. A row of a month without one lands in the default partition and moves when its month is made.

create table public.request_events (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid not null default gen_random_uuid(),
    request_id text,
    model text not null,
    provider text,
    is_simulated boolean not null default false,
    domain text,
    task_type text,
    success boolean not null,
    status text,
    error_type text,
    latency_ms public.amount,
    ttft_ms public.amount,
    tokens_input public.whole,
    tokens_output public.whole,
    cost public.amount,
    confidence public.share,
    correct boolean,
    cache_hit boolean,
    batch_id text,
    agent_id text,
    tenant_id text,
    user_id text,
    team_alias text,
    session_id text,
    message_id text,
    metadata public.object not null default '{}',
    created_at timestamptz not null default now(),
    total_tokens public.whole,
    cost_source text check (cost_source in ('caller', 'price')),
    price_id text,
    complexity public.share,
    conversation_id text,
    role text check (role in ('system', 'user', 'assistant', 'tool')),
    content text,
    tools_used public.list not null default '[]',
    decision_id text,
    primary key (id, created_at)
) partition by range (created_at);
create index request_events_by_horizon on public.request_events (txid, commit_seq);
create index request_events_by_model on public.request_events (model, created_at);
create index request_events_by_time on public.request_events (created_at);
create index request_events_by_message on public.request_events (message_id);
create index request_events_by_tenant on public.request_events (tenant_id, created_at);
create index request_events_by_user on public.request_events (user_id, created_at);
create index request_events_by_conversation on public.request_events (conversation_id);
create index request_events_by_batch on public.request_events (batch_id) where batch_id is not null;
select scorehouse.describe('public.request_events', 'One live or external request, or message of a conversation. Append-only', '{
    "id": "UUID by the client",
    "request_id": "The caller''s own id",
    "model": "Key of the model; else its name as it came, which is reported as unknown",
    "provider": "Key or name of the provider; null: not said",
    "success": "Whether it was answered",
    "status": "The caller''s word for how it went",
    "error_type": "Class of what went wrong; null: nothing",
    "latency_ms": "Whole duration, in ms",
    "ttft_ms": "Time to first token, in ms",
    "tokens_input": "Tokens sent (prompt tokens)",
    "tokens_output": "Tokens answered",
    "cost": "Cost in USD; null: unknown",
    "confidence": "The answer''s confidence, 0..1",
    "correct": "What the caller''s verifier said; null: nothing",
    "cache_hit": "Whether a cache answered",
    "batch_id": "Batch it belonged to",
    "team_alias": "The caller''s team",
    "session_id": "Session it belonged to",
    "message_id": "Message that it answered with; ratings name it",
    "metadata": "JSON object: whatever the caller added",
    "total_tokens": "Tokens in all, as the caller counted; null: the sum of both",
    "cost_source": "caller: it said so; price: computed from price_id",
    "price_id": "Price row that a computed cost rests on",
    "complexity": "Estimated complexity of the query, 0..1",
    "conversation_id": "Conversation that the message belongs to",
    "role": "Whose message: system, user, assistant, tool",
    "content": "Text of the message; null: not stored",
    "tools_used": "JSON list of tool names",
    "decision_id": "Routing decision that chose the model"
}');

create table public.feedback_events (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid not null default gen_random_uuid(),
    message_id text not null,
    model text not null,
    is_simulated boolean not null default false,
    task_type text,
    rating public.share,
    feedback_type text not null check (feedback_type in ('explicit', 'implicit', 'self_eval')),
    signal text check (signal in ('regenerate', 'copy', 'continue', 'abandon')),
    conversation_id text,
    agent_id text,
    tenant_id text,
    user_id text,
    created_at timestamptz not null default now(),
    check (rating is not null or signal is not distinct from 'abandon'),
    primary key (id, created_at)
) partition by range (created_at);
create index feedback_events_by_horizon on public.feedback_events (txid, commit_seq);
create index feedback_events_by_message on public.feedback_events (message_id, created_at);
create index feedback_events_by_time on public.feedback_events (created_at);
create index feedback_events_by_tenant on public.feedback_events (tenant_id, created_at);
create index feedback_events_by_model on public.feedback_events (model, created_at);
select scorehouse.describe('public.feedback_events', 'One opinion on one message; of a message, user and type the newest counts. Append-only', '{
    "message_id": "Message it is about: request_events.message_id",
    "model": "Key of the model that wrote the message",
    "rating": "0 (useless) .. 1 (perfect); null: says nothing certain",
    "feedback_type": "explicit (said), implicit (done) or self_eval (an agent''s own)",
    "signal": "What was done: regenerate (0.0), copy (1.0), continue (0.5), abandon (no rating)",
    "conversation_id": "Conversation of the message",
    "user_id": "Account whose opinion it is"
}');

create table partitions.request_events_default partition of public.request_events default;
create table partitions.feedback_events_default partition of public.feedback_events default;

-- {"made": names of the partitions made}. A row of the default partition moves with its commit_seq and txid.
create function public.make_partitions(months_ahead integer default 3) returns json
language plpgsql security definer
set search_path = '' set timezone = 'UTC' set lock_timeout = '5s' as $$
declare
    parent text;
    month timestamptz;
    made text;
    all_made text [] := '{}';
    has_rows boolean;
begin
    if months_ahead not between 0 and 24 then
        raise exception 'months_ahead must lie between 0 and 24, not %', months_ahead using errcode = '22023';
    end if;
    perform pg_advisory_xact_lock(hashtext('scorehouse.make_partitions'));
    foreach parent in array array['request_events', 'feedback_events'] loop
        for month in execute format(
            'select date_trunc(''month'', now()) + n * interval ''1 month'' from generate_series(0, $1) as n '
            'union select date_trunc(''month'', created_at) from partitions.%I '
            'where created_at >= now() - interval ''24 months'' and created_at < now() + interval ''24 months'' '
            'order by 1', parent || '_default'
        ) using months_ahead loop
            made := parent || to_char(month, '"_"YYYY"_"MM');
            continue when to_regclass('partitions.' || made) is not null;
            -- Without the parent's identity: before PostgreSQL 17 a partition cannot have it, since then it gets it by attaching.
            execute format('create table partitions.%I (like public.%I including all excluding identity)', made, parent);
            execute format('alter table partitions.%I enable row level security, force row level security', made);
            execute format('revoke all on partitions.%I from public, anon, authenticated', made);
            execute format(
                'with moved as (delete from partitions.%I where created_at >= $1 and created_at < $2 returning *) '
                'insert into partitions.%I select * from moved', parent || '_default', made
            ) using month, month + interval '1 month';
            execute format(
                'alter table public.%I attach partition partitions.%I for values from (%L) to (%L)',
                parent, made, month, month + interval '1 month'
            );
            all_made := all_made || made;
        end loop;
        -- What has expired leaves nothing behind: empty months before the last one go.
        for made in
            select c.relname from pg_catalog.pg_inherits as i
            inner join pg_catalog.pg_class as c on i.inhrelid = c.oid
            where i.inhparent = ('public.' || parent)::regclass
            and c.relname ~ '_\d{4}_\d{2}$'
            and c.relname < parent || to_char(now() - interval '1 month', '"_"YYYY"_"MM')
        loop
            execute format('lock table partitions.%I in access exclusive mode', made);
            execute format('select exists (select 1 from partitions.%I)', made) into has_rows;
            if not has_rows then
                execute format('drop table partitions.%I', made);
            end if;
        end loop;
    end loop;
    return json_build_object('made', all_made);
end
$$;
comment on function public.make_partitions(integer) is
'Make this month''s partition of the event tables and those of months to come, and those that waiting rows need; drop old empty ones';
grant execute on function public.make_partitions(integer) to service_role;
select public.make_partitions(3);

create table public.cache_metrics (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid primary key default gen_random_uuid(),
    timestamp timestamptz not null default now(),
    cache_hit public.whole not null,
    cache_miss public.whole not null,
    avg_lookup_time_ms public.amount,
    is_simulated boolean not null default false,
    tenant_id text
);
create index cache_metrics_by_horizon on public.cache_metrics (txid, commit_seq);
create index cache_metrics_by_time on public.cache_metrics (timestamp);
create index cache_metrics_by_tenant on public.cache_metrics (tenant_id, timestamp);
select scorehouse.describe('public.cache_metrics', 'What a cache of the user''s application counted. Append-only', '{
    "timestamp": "When it was counted (UTC)",
    "cache_hit": "Look-ups that the cache answered, since the last count",
    "cache_miss": "Look-ups that it did not",
    "avg_lookup_time_ms": "Mean duration of a look-up, in ms"
}');

create table public.batch_metrics (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid primary key default gen_random_uuid(),
    batch_id text not null,
    batch_size public.whole not null,
    total_tokens public.whole,
    batch_cost public.amount,
    status text not null,
    model text,
    is_simulated boolean not null default false,
    tenant_id text,
    user_id text,
    created_at timestamptz not null default now()
);
create index batch_metrics_by_horizon on public.batch_metrics (txid, commit_seq);
create index batch_metrics_by_batch on public.batch_metrics (batch_id, created_at);
create index batch_metrics_by_time on public.batch_metrics (created_at);
create index batch_metrics_by_tenant on public.batch_metrics (tenant_id, created_at);
select scorehouse.describe('public.batch_metrics', 'What became of a batch of requests; its newest row counts. Append-only', '{
    "batch_id": "The caller''s id of the batch",
    "batch_size": "Requests in it",
    "total_tokens": "Tokens of all of them",
    "batch_cost": "Cost of all of them, in USD; null: unknown",
    "status": "The caller''s word for how it stands"
}');
