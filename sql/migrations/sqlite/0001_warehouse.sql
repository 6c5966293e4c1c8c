-- The system of record of an unconfigured Scorehouse.
--
-- Times are ISO 8601 text in UTC with microseconds ('2026-11-21T02:00:00.000000Z'), so that text order is time order.
-- Durations are milliseconds (_ms), money is USD, prices are USD per 1M tokens (_per_m). Unknown is null, never 0.
-- Lists and objects are JSON text. Booleans are 0 or 1. Every id is a UUID in its canonical text form.
-- commit_seq numbers an event table's rows in commit order: SQLite has one writer at a time, so no row can become
-- visible behind a number that was already read.

-- The identity of this database: a new one when it is made anew, and watermarks of another epoch are void.
create table store_epoch (
    epoch text not null primary key,
    created_at text not null
) strict;

create table providers (
    id text not null primary key,
    key text not null unique,               -- what people type: 'openrouter'
    name text not null unique,              -- display name: 'OpenRouter'
    provider_type text not null
    check (provider_type in ('openai', 'groq', 'together', 'openrouter', 'anthropic', 'azure', 'custom')),
    base_url text not null,
    models_endpoint text,                   -- null: the one its type has
    api_key_vault_path text,
    rate_limit_rpm integer check (rate_limit_rpm > 0),
    logo_url text,
    is_active integer not null default 1 check (is_active in (0, 1)),
    is_simulated integer not null default 0 check (is_simulated in (0, 1)),
    last_synced text,                       -- the last sync that succeeded
    last_sync_error text,                   -- null after a sync that succeeded
    created_by text,
    created_at text not null,
    updated_at text not null
) strict;

create table models (
    id text not null primary key,
    key text not null unique,               -- provider key / external id: 'openrouter/google/gemma-2-9b:free'
    name text not null,                     -- the provider's own id for it (external id)
    provider_id text not null references providers (id) on delete cascade,
    display_name text not null,
    model_type text not null default 'chat',
    capabilities text not null default '{}',  -- JSON object: capability -> origin (declared, catalogue, inferred, admin)
    priority integer not null default 50 check (priority between 0 and 100),
    cost_tier text check (cost_tier in ('free', 'low', 'standard', 'premium')),
    domains text not null default '[]',
    context_window integer check (context_window > 0),
    is_available integer not null default 1 check (is_available in (0, 1)),  -- the provider lists it
    is_active integer not null default 0 check (is_active in (0, 1)),        -- we benchmark it
    is_manual integer not null default 0 check (is_manual in (0, 1)),        -- added by hand: a sync does not make it vanish
    metadata text not null default '{}',    -- the provider's raw entry
    synced_at text,
    created_at text not null,
    updated_at text not null,
    unique (name, provider_id)
) strict;
create index models_by_provider on models (provider_id);

-- What an admin set on a model. A null says "as synced"; a sync never writes here.
create table model_overrides (
    model_id text not null primary key references models (id) on delete cascade,
    display_name text,
    model_type text,
    capabilities text,
    priority integer check (priority between 0 and 100),
    cost_tier text check (cost_tier in ('free', 'low', 'standard', 'premium')),
    domains text,
    context_window integer check (context_window > 0),
    is_active integer check (is_active in (0, 1)),
    is_enabled integer check (is_enabled in (0, 1)),  -- 0: nobody's router may answer it
    set_by text,
    updated_at text not null
) strict;

create table prices (
    id text not null primary key,
    provider_id text not null references providers (id) on delete cascade,
    model_id text not null references models (id) on delete cascade,
    input_price_per_m real check (input_price_per_m >= 0),
    output_price_per_m real check (output_price_per_m >= 0),
    source text not null,                   -- provider_api, settings, simulated, ...
    timestamp text not null                 -- in force from here until the model's next row
) strict;
create index prices_by_model on prices (model_id, timestamp);
create index prices_by_provider on prices (provider_id);

create table runs (
    id text not null primary key,
    run_name text not null,
    triggered_by text not null,
    workload_id text,
    is_simulated integer not null default 0 check (is_simulated in (0, 1)),
    seed integer not null,                  -- of the order in which the requests went out
    planned integer not null check (planned >= 0),
    max_usd real check (max_usd >= 0),
    started_at text not null,
    finished_at text                        -- null while it runs
) strict;
create index runs_by_start on runs (started_at);
create index runs_by_name on runs (run_name);

create table domains (
    id text not null primary key,
    name text not null unique,
    description text not null,
    created_at text not null
) strict;

create table domain_benchmarks (
    id text not null primary key,
    domain text not null references domains (name) on delete cascade,
    prompt text not null,
    expected_answer text not null,
    grader text not null,
    difficulty integer not null default 1,
    tags text not null default '[]',
    created_at text not null
) strict;
create index domain_benchmarks_by_domain on domain_benchmarks (domain);

create table task_domains (
    id text not null primary key,
    task_type text not null,
    domain text not null references domains (name) on delete cascade,
    unique (task_type, domain)
) strict;

-- One measured request of the engine. Append-only: a row never changes after it landed.
create table benchmark_results (
    commit_seq integer primary key autoincrement,
    id text not null unique,                -- UUIDv7 by the client, written to the spool before the call
    run_id text not null references runs (id) on delete cascade,
    provider_id text references providers (id) on delete set null,
    model_id text references models (id) on delete set null,
    provider text not null,                 -- the provider's key
    model text not null,                    -- the model's key
    is_simulated integer not null check (is_simulated in (0, 1)),
    workload_id text not null,
    workload_version text not null,
    domain text,
    benchmark_id text,                      -- the gold question; null: a prompt without an expected answer
    repeat integer not null default 0,
    outcome text not null check (outcome in ('ok', 'incomplete', 'failed', 'aborted', 'skipped')),
    success integer not null check (success in (0, 1)),
    status_code integer,
    error_type text,
    error_code text,                        -- the provider's own word
    error_message text,                     -- at most 2 KiB, redacted
    finish_reason text,                     -- stop, length, tool_calls, content_filter, other
    finish_reason_raw text,
    response_text text,
    response_model text,
    provider_request_id text,
    input_tokens integer check (input_tokens >= 0),
    output_tokens integer check (output_tokens >= 0),
    reasoning_tokens integer check (reasoning_tokens >= 0),
    cached_input_tokens integer check (cached_input_tokens >= 0),
    token_source text check (token_source in ('provider', 'estimated')),
    client_wait_ms real,                    -- our own queueing, before anything was sent
    connect_ms real,                        -- DNS, TCP and TLS; null on a reused connection
    connection_reused integer check (connection_reused in (0, 1)),
    headers_ms real,                        -- from here on: since the last byte of the request was written
    first_event_ms real,
    first_reasoning_ms real,
    ttft_ms real check (ttft_ms >= 0),
    total_latency_ms real check (total_latency_ms >= 0),
    call_latency_ms real,                   -- since the call began: client wait and connect included
    max_gap_ms real,
    inter_token_p50_ms real,
    provider_time_ms real,                  -- what the provider says it took
    timing_source text check (timing_source in ('kernel', 'socket')),
    timing_uncertainty_ms real,
    tps real check (tps >= 0),
    cost_usd real check (cost_usd >= 0),
    cost_source text check (cost_source in ('provider', 'price')),
    price_id text,                          -- the price row a computed cost rests on
    correct integer check (correct in (0, 1)),
    confidence real check (confidence between 0 and 1),
    created_at text not null                -- when the request was about to go out
) strict;
create index benchmark_results_by_run on benchmark_results (run_id);
create index benchmark_results_by_provider on benchmark_results (provider_id);
create index benchmark_results_by_model on benchmark_results (model_id, created_at);
create index benchmark_results_by_time on benchmark_results (created_at);

-- One live or external request. Append-only.
create table request_events (
    commit_seq integer primary key autoincrement,
    id text not null unique,
    request_id text,                        -- the caller's own id
    model text not null,                    -- a model's key; else kept as it came and reported as unknown
    provider text,
    is_simulated integer not null default 0 check (is_simulated in (0, 1)),
    domain text,
    task_type text,
    success integer not null check (success in (0, 1)),
    status text,
    error_type text,
    latency_ms real check (latency_ms >= 0),
    ttft_ms real check (ttft_ms >= 0),
    tokens_input integer check (tokens_input >= 0),
    tokens_output integer check (tokens_output >= 0),
    cost real check (cost >= 0),
    confidence real check (confidence between 0 and 1),
    correct integer check (correct in (0, 1)),
    cache_hit integer check (cache_hit in (0, 1)),
    batch_id text,
    agent_id text,
    tenant_id text,
    user_id text,
    team_alias text,
    session_id text,
    message_id text,
    metadata text not null default '{}',
    created_at text not null
) strict;
create index request_events_by_model on request_events (model, created_at);
create index request_events_by_time on request_events (created_at);
create index request_events_by_message on request_events (message_id);

-- One opinion on one message. A changed rating is a new row; the newest of a (message, user, feedback_type) counts.
create table feedback_events (
    commit_seq integer primary key autoincrement,
    id text not null unique,
    message_id text not null,
    model text not null,
    is_simulated integer not null default 0 check (is_simulated in (0, 1)),
    task_type text,
    rating real check (rating between 0 and 1),
    feedback_type text not null check (feedback_type in ('explicit', 'implicit', 'self_eval')),
    signal text check (signal in ('regenerate', 'copy', 'continue', 'abandon')),
    conversation_id text,
    agent_id text,
    tenant_id text,
    user_id text,
    created_at text not null,
    check (rating is not null or signal is 'abandon')  -- walking away says nothing certain
) strict;
create index feedback_events_by_message on feedback_events (message_id);
create index feedback_events_by_time on feedback_events (created_at);

-- A deleted run: its rows are gone here, and scoring leaves out what the lake still holds of it.
create table tombstones (
    commit_seq integer primary key autoincrement,
    id text not null unique,
    run_id text not null unique,
    created_at text not null
) strict;

create table agents (
    id text not null primary key,
    key text not null unique,
    tenant_id text,
    created_at text not null
) strict;

create table agent_models (
    id text not null primary key,
    agent_id text not null references agents (id) on delete cascade,
    model_id text not null references models (id) on delete cascade,
    tenant_id text,
    is_enabled integer not null default 1 check (is_enabled in (0, 1)),
    priority_override integer check (priority_override between 0 and 100),
    enabled_by text,
    enabled_at text not null,
    unique (agent_id, model_id)
) strict;
create index agent_models_by_model on agent_models (model_id);

-- Written back by scoring: the latest all-time aggregate, one row per (model, domain).
create table model_metrics (
    id text not null primary key,
    model text not null,
    domain text not null,
    is_simulated integer not null check (is_simulated in (0, 1)),
    usage_count integer not null,
    accuracy real,
    latency_ms real,
    variance real,
    failure_rate real,
    cost_per_query real,
    confidence real,
    avg_output_length real,
    tokens_per_query real,
    last_updated text not null,
    unique (model, domain, is_simulated)
) strict;

-- Written back by scoring: one row per day and kind of evidence.
create table daily_aggregates (
    id text not null primary key,
    date text not null,
    is_simulated integer not null check (is_simulated in (0, 1)),
    requests integer not null,
    total_cost real,
    total_tokens integer,
    cache_hit_rate real,
    error_rate real,
    unique (date, is_simulated)
) strict;

create trigger runs_leave_a_tombstone after delete on runs begin
    insert into tombstones (id, run_id, created_at)
    values (old.id, old.id, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'));
end;

-- A model as everyone but a sync sees it: what the admin set, else what the provider says, with its price in force.
create view catalog as
select
    m.id as model_id,
    m.key as id,
    p.key as provider_id,
    p.name as provider_name,
    m.name as external_id,
    coalesce(o.display_name, m.display_name) as display_name,
    coalesce(o.model_type, m.model_type) as model_type,
    coalesce(o.capabilities, m.capabilities) as capabilities,
    coalesce(o.priority, m.priority) as priority,
    coalesce(o.cost_tier, m.cost_tier) as cost_tier,
    coalesce(o.domains, m.domains) as domains,
    coalesce(o.context_window, m.context_window) as ctx_length,
    price.input_price_per_m as pricing_input,
    price.output_price_per_m as pricing_output,
    price.id as price_id,
    price.source as price_source,
    m.is_available and p.is_active as is_available,
    coalesce(o.is_active, m.is_active) as is_active,
    coalesce(o.is_enabled, 1) as is_enabled,
    m.is_manual,
    p.is_simulated,
    m.metadata,
    m.synced_at,
    m.created_at,
    m.updated_at
from models as m
inner join providers as p on m.provider_id = p.id
left join model_overrides as o on m.id = o.model_id
left join prices as price on price.id = (
    select q.id from prices as q
    where q.model_id = m.id
    order by q.timestamp desc, q.id desc
    limit 1
);

create view provider_registry as
select
    p.key as id,
    p.name as display_name,
    p.provider_type,
    p.base_url as api_base,
    p.models_endpoint,
    p.api_key_vault_path,
    p.rate_limit_rpm,
    p.is_active,
    p.is_simulated,
    p.last_synced,
    p.last_sync_error,
    p.created_by,
    p.created_at,
    p.updated_at,
    (select count(*) from models as m where m.provider_id = p.id and m.is_available) as model_count
from providers as p;

-- Requirement B3's name for every query, benchmark or live.
create view model_metric_events as
select
    id, model, domain,
    total_latency_ms as latency_ms,
    input_tokens as tokens_input,
    output_tokens as tokens_output,
    cost_usd as cost,
    success, confidence, benchmark_id, correct, is_simulated, created_at
from benchmark_results
where outcome not in ('aborted', 'skipped')
union all
select
    id, model, domain, latency_ms, tokens_input, tokens_output, cost,
    success, confidence, null as benchmark_id, correct, is_simulated, created_at
from request_events;
