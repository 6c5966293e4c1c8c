-- Routing: policies by version, experiments between them, what was decided, sessions, and what may be spent.

create table public.routing_configs (
    id uuid primary key default gen_random_uuid(),
    tenant_id text,
    user_id text,
    agent_id text,
    environment text not null default 'production',
    name text not null,
    version bigint not null check (version > 0),
    rules public.object not null,
    description text,
    is_active boolean not null default false,
    is_request_logging boolean not null default true,
    is_performance_tracking boolean not null default true,
    created_by text,
    created_at timestamptz not null default now(),
    activated_at timestamptz
);
create unique index routing_configs_by_version on public.routing_configs (
    coalesce(tenant_id, ''), coalesce(user_id, ''), coalesce(agent_id, ''), environment, name, version
);
create unique index routing_configs_one_active on public.routing_configs (
    coalesce(tenant_id, ''), coalesce(user_id, ''), coalesce(agent_id, ''), environment
) where is_active;
select scorehouse.describe('public.routing_configs', 'Routing policies: named, versioned, one active per owner (tenant, user, agent) and environment', '{
    "environment": "production, staging, ...",
    "name": "Name of the policy",
    "version": "From 1 up; a change is a new version",
    "rules": "JSON object: weights, limits, tie delta",
    "description": "What it is for",
    "is_active": "Whether it is the one in force",
    "is_request_logging": "Whether requests are logged under it",
    "is_performance_tracking": "Whether requests are counted as evidence under it",
    "created_by": "Account that made it",
    "created_at": "When it was made (UTC)",
    "activated_at": "When it was last activated (UTC)"
}');

create table public.routing_experiments (
    id uuid primary key default gen_random_uuid(),
    tenant_id text,
    environment text not null default 'production',
    name text not null,
    control_policy text not null,
    treatment_policy text not null,
    treatment_share public.share not null,
    salt text not null,
    status text not null default 'draft' check (status in ('draft', 'running', 'stopped')),
    created_by text,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz
);
create unique index routing_experiments_by_name on public.routing_experiments (coalesce(tenant_id, ''), environment, name);
select scorehouse.describe('public.routing_experiments', 'Two policies side by side: each session is in one arm, by a hash', '{
    "environment": "production, staging, ...",
    "name": "Name of the experiment",
    "control_policy": "Policy of the control arm",
    "treatment_policy": "Policy of the treatment arm",
    "treatment_share": "Share of sessions in the treatment arm, 0..1",
    "salt": "Goes into the hash that chooses the arm",
    "status": "draft, running or stopped",
    "created_by": "Account that made it",
    "created_at": "When it was made (UTC)",
    "started_at": "When it began (UTC)",
    "finished_at": "When it ended (UTC)"
}');

create table public.routing_decisions (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid primary key default gen_random_uuid(),
    tenant_id text,
    user_id text,
    agent_id text,
    session_id text,
    request_id text,
    task_type text,
    task_source text,
    task_confidence text check (task_confidence in ('high', 'medium')),
    domain text,
    route_query public.object not null default '{}',
    model text,
    provider text,
    score public.share,
    source text not null check (source in ('snapshot', 'default', 'none')),
    policy text not null,
    parts public.list not null default '[]',
    evidence public.object,
    fallbacks public.list not null default '[]',
    candidates public.list not null default '[]',
    rejected public.object not null default '{}',
    reasons public.list not null default '[]',
    reason_codes public.list not null default '[]',
    snapshot_id text,
    configuration_id text,
    is_simulated boolean not null default false,
    is_stale boolean not null default false,
    age_s public.amount,
    experiment_id text,
    experiment_arm text check (experiment_arm in ('control', 'treatment')),
    decision_ms public.amount,
    created_at timestamptz not null default now()
);
create index routing_decisions_by_horizon on public.routing_decisions (txid, commit_seq);
create index routing_decisions_by_time on public.routing_decisions (created_at);
create index routing_decisions_by_tenant on public.routing_decisions (tenant_id, created_at);
create index routing_decisions_by_session on public.routing_decisions (session_id, created_at);
create index routing_decisions_by_experiment on public.routing_decisions (experiment_id) where experiment_id is not null;
select scorehouse.describe('public.routing_decisions', 'Every answer of the lookup, with what it needs to be explained later. Append-only', '{
    "id": "The answer''s decision_id",
    "session_id": "Session it was made in",
    "request_id": "The caller''s id of the request",
    "task_source": "What the task type was told by: given, tools, attachments, keywords",
    "task_confidence": "high or medium",
    "route_query": "JSON object: the limits that were asked for",
    "model": "Key of the chosen model; null: none fitted",
    "score": "Its score, 0..1",
    "source": "snapshot, default (the configured model) or none",
    "policy": "Policy it was decided by",
    "parts": "JSON list: terms of the score",
    "evidence": "JSON object: what the experience rests on; null: none",
    "fallbacks": "JSON list: the next best models, in order",
    "candidates": "JSON list: models that were weighed, with their scores",
    "rejected": "JSON object: limit -> number of models that failed it",
    "reasons": "JSON list of sentences",
    "reason_codes": "JSON list of words for programs",
    "snapshot_id": "Scoring snapshot it rests on",
    "configuration_id": "Configuration snapshot it rests on",
    "is_stale": "Whether the snapshot was older than it should be",
    "age_s": "Age of the snapshot, in seconds",
    "experiment_id": "Experiment it was part of",
    "experiment_arm": "control or treatment",
    "decision_ms": "How long deciding took, in ms"
}');

create table public.user_sessions (
    id uuid primary key default gen_random_uuid(),
    session_id text not null,
    tenant_id text,
    user_id text,
    agent_id text,
    model text,
    policy text,
    preferences public.object not null default '{}',
    conversation_context public.object not null default '{}',
    budget_usd public.amount,
    spent_usd public.amount not null default 0,
    last_activity_at timestamptz not null default now(),
    expires_at timestamptz,
    created_at timestamptz not null default now()
);
create unique index user_sessions_by_session on public.user_sessions (coalesce(tenant_id, ''), session_id);
create index user_sessions_by_user on public.user_sessions (tenant_id, user_id);
create index user_sessions_by_activity on public.user_sessions (last_activity_at);
select scorehouse.describe('public.user_sessions', 'Conversations: what they prefer, which model they stay with, what they may spend', '{
    "session_id": "The caller''s id of it",
    "model": "Key of the model it stays with; null: not yet",
    "policy": "Policy it prefers; null: the active one",
    "preferences": "JSON object: limits and wishes of this session",
    "conversation_context": "JSON object: what the conversation is about",
    "budget_usd": "What it may spend, in USD; null: no limit of its own",
    "spent_usd": "What it spent, in USD",
    "last_activity_at": "Its last request (UTC)",
    "expires_at": "From when on it counts as over (UTC); null: never",
    "created_at": "When it began (UTC)"
}');

create table public.budgets (
    id uuid primary key default gen_random_uuid(),
    tenant_id text not null,
    user_id text,
    agent_id text,
    period text not null check (period in ('day', 'month', 'total')),
    limit_usd public.amount,
    spent_usd public.amount not null default 0,
    reserved_usd public.amount not null default 0,
    period_start_at timestamptz not null default now(),
    requests_per_hour bigint check (requests_per_hour >= 0),
    hour_start_at timestamptz,
    hour_requests public.whole not null default 0,
    is_active boolean not null default true,
    set_by text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index budgets_by_owner on public.budgets (tenant_id, coalesce(user_id, ''), coalesce(agent_id, ''), period);
select scorehouse.describe('public.budgets', 'What a tenant, a user or an agent may spend and how often it may ask', '{
    "tenant_id": "Tenant it holds for",
    "user_id": "Account it holds for; null: the whole tenant",
    "agent_id": "Agent it holds for; null: any",
    "period": "day, month or total",
    "limit_usd": "Limit in USD for a period; null: none",
    "spent_usd": "Spent in this period, in USD",
    "reserved_usd": "Reserved by calls that are under way, in USD",
    "period_start_at": "When this period began (UTC)",
    "requests_per_hour": "Requests it may make an hour; null: no limit",
    "hour_start_at": "When this hour began (UTC)",
    "hour_requests": "Requests made in it",
    "is_active": "Whether it is enforced",
    "set_by": "Account that set it",
    "created_at": "When it was set (UTC)"
}');
