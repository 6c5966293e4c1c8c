-- Tenants, trails, policies, budgets, sessions, caches, batches and what scoring writes back; live requests say more.
-- Columns are described at length in sql/migrations/postgres, whose tables these are.

-- A live request may be a message of a conversation, and says where its cost and its model come from.
alter table request_events add column total_tokens integer check (total_tokens >= 0);  -- as the caller counted; null: the sum
alter table request_events add column cost_source text check (cost_source in ('caller', 'price'));
alter table request_events add column price_id text;         -- the price row a computed cost rests on
alter table request_events add column complexity real check (complexity between 0 and 1);  -- estimated
alter table request_events add column conversation_id text;
alter table request_events add column role text check (role in ('system', 'user', 'assistant', 'tool'));
alter table request_events add column content text;          -- null: not stored
alter table request_events add column
tools_used text not null default '[]';
alter table request_events add column decision_id text;      -- the routing decision that chose the model
create index request_events_by_tenant on request_events (tenant_id, created_at);
create index request_events_by_conversation on request_events (conversation_id);

-- The tenants.
create table organizations (
    id text not null primary key,
    tenant_id text not null unique,   -- what app_metadata.tenant_id of its accounts' tokens says
    name text not null,
    is_active integer not null default 1 check (is_active in (0, 1)),  -- false: closed; its rows stay
    created_at text not null,
    updated_at text not null
) strict;

-- Every change that a person or an agent made. Append-only.
create table audit_log (
    commit_seq integer primary key autoincrement,
    id text not null unique,
    tenant_id text,
    actor_id text,                    -- account that did it; null: the engine
    actor_role text,                  -- role it had: platform_admin, tenant_admin, user, agent, service
    action text not null,             -- insert, update, delete, or a command such as set_agent_models
    object_type text not null,        -- table of what was changed
    object_id text not null,
    old_value text,                   -- the row before; null: there was none
    new_value text,                   -- the row after; null: it is gone
    reason text,                      -- what the actor said of it
    request_id text,                  -- request by which it came
    ip_address text,
    user_agent text,
    created_at text not null
) strict;
create index audit_log_by_tenant on audit_log (tenant_id, created_at);
create index audit_log_by_object on audit_log (object_type, object_id);
create index audit_log_by_time on audit_log (created_at);

-- Requests to the HTTP service, where a policy wants them logged. Append-only.
create table request_logs (
    commit_seq integer primary key autoincrement,
    id text not null unique,
    request_id text,                  -- the caller's own id, or ours
    tenant_id text,
    user_id text,
    agent_id text,
    method text not null,
    path text not null,               -- HTTP path, without its query
    status_code integer check (status_code between 100 and 599),  -- HTTP status of the answer
    request text,                     -- what was asked, without secrets
    response text,                    -- what was answered, without secrets
    decision_id text,                 -- routing decision that was made for it
    error_details text,               -- what went wrong; null: nothing
    ip_address text,
    user_agent text,
    duration_ms real check (duration_ms >= 0),  -- how long it took, in ms
    created_at text not null
) strict;
create index request_logs_by_tenant on request_logs (tenant_id, created_at);
create index request_logs_by_time on request_logs (created_at);

-- What somebody may have to prove: exports, deletions, retention. Append-only.
create table compliance_log (
    commit_seq integer primary key autoincrement,
    id text not null unique,
    tenant_id text,
    event_type text not null,         -- what was done: data_export, data_deletion, retention, access_review, ...
    subject_type text not null,       -- what it was done to: a table, a user, a tenant
    subject_id text,
    actor_id text,                    -- account that did it; null: the engine
    details text not null default '{}',  -- JSON object: counts, dates, grounds
    created_at text not null
) strict;
create index compliance_log_by_tenant on compliance_log (tenant_id, created_at);

-- What a cache of the user's application counted. Append-only.
create table cache_metrics (
    commit_seq integer primary key autoincrement,
    id text not null unique,
    timestamp text not null,          -- when it was counted (UTC)
    cache_hit integer not null check (cache_hit >= 0),  -- look-ups that the cache answered, since the last count
    cache_miss integer not null check (cache_miss >= 0),  -- look-ups that it did not
    avg_lookup_time_ms real check (avg_lookup_time_ms >= 0),  -- mean duration of a look-up, in ms
    is_simulated integer not null default 0 check (is_simulated in (0, 1)),
    tenant_id text
) strict;
create index cache_metrics_by_time on cache_metrics (timestamp);
create index cache_metrics_by_tenant on cache_metrics (tenant_id, timestamp);

-- What became of a batch of requests; its newest row counts. Append-only.
create table batch_metrics (
    commit_seq integer primary key autoincrement,
    id text not null unique,
    batch_id text not null,           -- the caller's id of the batch
    batch_size integer not null check (batch_size >= 0),  -- requests in it
    total_tokens integer check (total_tokens >= 0),  -- tokens of all of them
    batch_cost real check (batch_cost >= 0),  -- cost of all of them, in USD; null: unknown
    status text not null,             -- the caller's word for how it stands
    model text,
    is_simulated integer not null default 0 check (is_simulated in (0, 1)),
    tenant_id text,
    user_id text,
    created_at text not null
) strict;
create index batch_metrics_by_batch on batch_metrics (batch_id, created_at);
create index batch_metrics_by_time on batch_metrics (created_at);
create index batch_metrics_by_tenant on batch_metrics (tenant_id, created_at);

-- Routing policies: named, versioned, one active per owner (tenant, user, agent) and environment.
create table routing_configs (
    id text not null primary key,
    tenant_id text,
    user_id text,
    agent_id text,
    environment text not null default 'production',  -- production, staging, ...
    name text not null,
    version integer not null check (version > 0),  -- from 1 up; a change is a new version
    rules text not null,              -- JSON object: weights, limits, tie delta
    description text,                 -- what it is for
    is_active integer not null default 0 check (is_active in (0, 1)),  -- whether it is the one in force
    is_request_logging integer not null default 1 check (is_request_logging in (0, 1)),  -- whether requests are logged under it
    -- Whether requests are counted as evidence under it
    is_performance_tracking integer not null default 1 check (is_performance_tracking in (0, 1)),
    created_by text,
    created_at text not null,
    activated_at text                 -- when it was last activated (UTC)
) strict;
create unique index routing_configs_by_version on routing_configs (
    coalesce(tenant_id, ''), coalesce(user_id, ''), coalesce(agent_id, ''), environment, name, version
);
create unique index routing_configs_one_active on routing_configs (
    coalesce(tenant_id, ''), coalesce(user_id, ''), coalesce(agent_id, ''), environment
) where is_active;

-- Two policies side by side: each session is in one arm, by a hash.
create table routing_experiments (
    id text not null primary key,
    tenant_id text,
    environment text not null default 'production',  -- production, staging, ...
    name text not null,
    control_policy text not null,
    treatment_policy text not null,
    treatment_share real not null check (treatment_share between 0 and 1),  -- share of sessions in the treatment arm, 0..1
    salt text not null,               -- goes into the hash that chooses the arm
    status text not null default 'draft' check (status in ('draft', 'running', 'stopped')),  -- draft, running or stopped
    created_by text,
    created_at text not null,
    started_at text,
    finished_at text
) strict;
create unique index routing_experiments_by_name on routing_experiments (coalesce(tenant_id, ''), environment, name);

-- Every answer of the lookup, with what it needs to be explained later. Append-only.
create table routing_decisions (
    commit_seq integer primary key autoincrement,
    id text not null unique,          -- the answer's decision_id
    tenant_id text,
    user_id text,
    agent_id text,
    session_id text,                  -- session it was made in
    request_id text,                  -- the caller's id of the request
    task_type text,
    task_source text,                 -- what the task type was told by: given, tools, attachments, keywords
    task_confidence text check (task_confidence in ('high', 'medium')),  -- high or medium
    domain text,
    route_query text not null default '{}',  -- JSON object: the limits that were asked for
    model text,                       -- key of the chosen model; null: none fitted
    provider text,
    score real check (score between 0 and 1),  -- its score, 0..1
    source text not null check (source in ('snapshot', 'default', 'none')),  -- snapshot, default (the configured model) or none
    policy text not null,             -- policy it was decided by
    parts text not null default '[]',  -- JSON list: terms of the score
    evidence text,                    -- JSON object: what the experience rests on; null: none
    fallbacks text not null default '[]',  -- JSON list: the next best models, in order
    candidates text not null default '[]',  -- JSON list: models that were weighed, with their scores
    rejected text not null default '{}',  -- JSON object: limit -> number of models that failed it
    reasons text not null default '[]',  -- JSON list of sentences
    reason_codes text not null default '[]',  -- JSON list of words for programs
    snapshot_id text,                 -- scoring snapshot it rests on
    configuration_id text,            -- configuration snapshot it rests on
    is_simulated integer not null default 0 check (is_simulated in (0, 1)),
    is_stale integer not null default 0 check (is_stale in (0, 1)),  -- whether the snapshot was older than it should be
    age_s real check (age_s >= 0),    -- age of the snapshot, in seconds
    experiment_id text,               -- experiment it was part of
    experiment_arm text check (experiment_arm in ('control', 'treatment')),  -- control or treatment
    decision_ms real check (decision_ms >= 0),  -- how long deciding took, in ms
    created_at text not null
) strict;
create index routing_decisions_by_time on routing_decisions (created_at);
create index routing_decisions_by_tenant on routing_decisions (tenant_id, created_at);
create index routing_decisions_by_session on routing_decisions (session_id, created_at);
create index routing_decisions_by_experiment on routing_decisions (experiment_id) where experiment_id is not null;

-- Conversations: what they prefer, which model they stay with, what they may spend.
create table user_sessions (
    id text not null primary key,
    session_id text not null,         -- the caller's id of it
    tenant_id text,
    user_id text,
    agent_id text,
    model text,                       -- key of the model it stays with; null: not yet
    policy text,                      -- policy it prefers; null: the active one
    preferences text not null default '{}',  -- JSON object: limits and wishes of this session
    conversation_context text not null default '{}',  -- JSON object: what the conversation is about
    budget_usd real check (budget_usd >= 0),  -- what it may spend, in USD; null: no limit of its own
    spent_usd real not null default 0 check (spent_usd >= 0),
    last_activity_at text not null,   -- its last request (UTC)
    expires_at text,                  -- from when on it counts as over (UTC); null: never
    created_at text not null
) strict;
create unique index user_sessions_by_session on user_sessions (coalesce(tenant_id, ''), session_id);
create index user_sessions_by_user on user_sessions (tenant_id, user_id);
create index user_sessions_by_activity on user_sessions (last_activity_at);

-- What a tenant, a user or an agent may spend and how often it may ask.
create table budgets (
    id text not null primary key,
    tenant_id text not null,
    user_id text,                     -- account it holds for; null: the whole tenant
    agent_id text,                    -- agent it holds for; null: any
    period text not null check (period in ('day', 'month', 'total')),  -- day, month or total
    limit_usd real check (limit_usd >= 0),  -- limit in USD for a period; null: none
    spent_usd real not null default 0 check (spent_usd >= 0),
    reserved_usd real not null default 0 check (reserved_usd >= 0),  -- reserved by calls that are under way, in USD
    period_start_at text not null,    -- when this period began (UTC)
    requests_per_hour integer check (requests_per_hour >= 0),  -- requests it may make an hour; null: no limit
    hour_start_at text,               -- when this hour began (UTC)
    hour_requests integer not null default 0 check (hour_requests >= 0),  -- requests made in it
    is_active integer not null default 1 check (is_active in (0, 1)),
    set_by text,
    created_at text not null,
    updated_at text not null
) strict;
create unique index budgets_by_owner on budgets (tenant_id, coalesce(user_id, ''), coalesce(agent_id, ''), period);

-- The same over a window back from the snapshot's time, with intervals.
create table model_metrics_by_window (
    id text not null primary key,
    model text not null,
    domain text,                      -- domain it is about; null: all of them together
    window_name text not null,        -- 24h, 7d, 30d or 90d
    is_simulated integer not null check (is_simulated in (0, 1)),
    usage_count integer not null check (usage_count >= 0),  -- requests, benchmark and live
    succeeded integer not null check (succeeded >= 0),  -- requests that were answered whole
    incomplete integer not null check (incomplete >= 0),  -- requests whose answer broke off
    failed integer not null check (failed >= 0),  -- requests that failed
    graded integer not null check (graded >= 0),  -- gold questions graded
    correct integer not null check (correct >= 0),  -- gold questions answered rightly
    accuracy real check (accuracy between 0 and 1),  -- correct / graded, 0..1
    accuracy_low real check (accuracy_low between 0 and 1),  -- lower end of its 95 % interval (Wilson)
    accuracy_high real check (accuracy_high between 0 and 1),
    failure_rate real check (failure_rate between 0 and 1),  -- (failed + incomplete) / usage_count, 0..1
    failure_rate_low real check (failure_rate_low between 0 and 1),  -- lower end of its 95 % interval (Wilson)
    failure_rate_high real check (failure_rate_high between 0 and 1),
    latency_n integer not null check (latency_n >= 0),  -- answers timed
    latency_mean_ms real check (latency_mean_ms >= 0),  -- mean duration of whole answers, in ms
    latency_variance_ms2 real check (latency_variance_ms2 >= 0),
    latency_p50_ms real check (latency_p50_ms >= 0),
    latency_p95_ms real check (latency_p95_ms >= 0),
    latency_p99_ms real check (latency_p99_ms >= 0),
    ttft_n integer not null check (ttft_n >= 0),  -- answers whose first token was timed
    ttft_mean_ms real check (ttft_mean_ms >= 0),  -- mean time to first token, in ms
    ttft_variance_ms2 real check (ttft_variance_ms2 >= 0),
    ttft_p50_ms real check (ttft_p50_ms >= 0),
    ttft_p95_ms real check (ttft_p95_ms >= 0),
    ttft_p99_ms real check (ttft_p99_ms >= 0),
    tps_n integer not null check (tps_n >= 0),  -- answers whose speed was measured
    tps_mean real check (tps_mean >= 0),  -- mean speed, in tokens a second
    tps_variance real check (tps_variance >= 0),
    tps_p50 real check (tps_p50 >= 0),  -- its median, in tokens a second (to 1 %)
    tps_p95 real check (tps_p95 >= 0),  -- its 95th percentile, in tokens a second (to 1 %)
    cost_n integer not null check (cost_n >= 0),  -- requests whose cost is known
    cost_per_query real check (cost_per_query >= 0),  -- mean cost of those, in USD
    tokens_n integer not null check (tokens_n >= 0),  -- requests whose tokens are known
    tokens_per_query real check (tokens_per_query >= 0),  -- mean tokens of those, in and out
    output_n integer not null check (output_n >= 0),  -- answers whose tokens are known
    avg_output_length real check (avg_output_length >= 0),  -- mean length of those, in tokens
    confidence_n integer not null check (confidence_n >= 0),  -- requests with a confidence
    confidence real check (confidence between 0 and 1),  -- its mean, 0..1
    last_updated text
) strict;
create unique index model_metrics_by_window_once on model_metrics_by_window (
    model, coalesce(domain, ''), window_name, is_simulated
);

-- What each model took on in all, one row per model.
create table model_totals (
    id text not null primary key,
    model text not null,
    is_simulated integer not null check (is_simulated in (0, 1)),
    total_requests integer not null check (total_requests >= 0),  -- requests, benchmark and live
    total_tokens integer check (total_tokens >= 0),  -- tokens, in and out; null: unknown
    total_cost real check (total_cost >= 0),  -- cost in USD of those whose cost is known; null: of none
    avg_latency real check (avg_latency >= 0),  -- mean duration of whole answers, in ms
    last_updated text,
    unique (model, is_simulated)
) strict;

-- How a model did on each day (UTC).
create table model_performance_history (
    id text not null primary key,
    model text not null,
    domain text,                      -- domain it is about; null: all of them together
    date text not null,
    is_simulated integer not null check (is_simulated in (0, 1)),
    usage_count integer not null check (usage_count >= 0),  -- requests, benchmark and live
    accuracy real check (accuracy between 0 and 1),  -- share of gold questions answered rightly, 0..1; null: none asked
    failure_rate real check (failure_rate between 0 and 1),  -- share of failed and incomplete requests, 0..1
    latency_ms real check (latency_ms >= 0),  -- mean duration of whole answers, in ms
    ttft_ms real check (ttft_ms >= 0),  -- mean time to first token, in ms
    tps real check (tps >= 0),        -- mean speed, in tokens a second
    cost_per_query real check (cost_per_query >= 0),  -- mean cost of a request whose cost is known, in USD
    tokens_per_query real check (tokens_per_query >= 0),  -- mean tokens of a request, in and out
    avg_rating real check (avg_rating between 0 and 1),  -- mean rating, 0..1; null: nobody rated
    rating_count integer check (rating_count >= 0)
) strict;
create unique index model_performance_history_once on model_performance_history (
    model, coalesce(domain, ''), date, is_simulated
);
create index model_performance_history_by_date on model_performance_history (date);

-- What a tenant's live requests cost, by period and model.
create table billing_records (
    id text not null primary key,
    tenant_id text not null,          -- tenant that asked
    model text not null,
    provider text,
    period_start_at text not null,
    period_end_at text not null,
    is_simulated integer not null check (is_simulated in (0, 1)),
    requests integer not null check (requests >= 0),
    -- Those whose cost nobody knows: they are not in total_cost
    requests_without_cost integer not null check (requests_without_cost >= 0),
    tokens_input integer check (tokens_input >= 0),
    tokens_output integer check (tokens_output >= 0),
    total_cost real check (total_cost >= 0),  -- cost in USD of those whose cost is known; null: of none
    created_at text not null,
    check (period_start_at < period_end_at)
) strict;
create unique index billing_records_once on billing_records (
    tenant_id, period_start_at, period_end_at, model, coalesce(provider, ''), is_simulated
);


-- Live requests in the words of the metrics client.
create view metrics as
select
    id,
    request_id,
    created_at as timestamp,
    model,
    tokens_input as prompt_tokens,
    tokens_output as output_tokens,
    coalesce(total_tokens, tokens_input + tokens_output) as total_tokens,
    cost as response_cost,
    latency_ms,
    cache_hit,
    batch_id,
    user_id,
    team_alias,
    status
from request_events;

-- Live requests by user and organization.
create view request_analytics as
select
    id,
    tenant_id,
    user_id,
    agent_id,
    model,
    provider,
    task_type,
    domain,
    cost,
    latency_ms,
    tokens_input,
    tokens_output,
    success,
    is_simulated,
    created_at
from request_events;

-- Messages of conversations, each with the newest opinion on it.
create view messages as
select
    e.message_id as id,
    e.conversation_id,
    e.role,
    e.content,
    e.model,
    e.latency_ms,
    coalesce(e.total_tokens, e.tokens_input + e.tokens_output) as token_count,
    e.metadata,
    e.task_type,
    e.tools_used,
    f.rating,
    f.feedback_type,
    f.created_at as feedback_at,
    e.agent_id,
    e.tenant_id,
    e.user_id,
    e.is_simulated,
    e.created_at
from request_events as e
left join feedback_events as f
    on f.id = (
        select n.id from feedback_events as n
        where n.message_id = e.message_id
        order by n.created_at desc, n.id desc
        limit 1
    )
where e.message_id is not null;
