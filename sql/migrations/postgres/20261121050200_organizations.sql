-- Tenants, their agents, which models an agent may use, and the trails of who did what.

create table public.organizations (
    id uuid primary key default gen_random_uuid(),
    tenant_id text not null unique,
    name text not null,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
select scorehouse.describe('public.organizations', 'The tenants', '{
    "tenant_id": "What app_metadata.tenant_id of its accounts'' tokens says",
    "name": "Name for people",
    "is_active": "false: closed; its rows stay",
    "created_at": "When it was added (UTC)"
}');

create table public.agents (
    id uuid primary key default gen_random_uuid(),
    key text not null unique,
    tenant_id text,
    created_at timestamptz not null default now()
);
create index agents_by_tenant on public.agents (tenant_id);
select scorehouse.describe('public.agents', 'Programs that ask for a model', '{
    "key": "What people and tokens call it",
    "created_at": "When it was added (UTC)"
}');

create table public.agent_models (
    id uuid primary key default gen_random_uuid(),
    agent_id uuid not null references public.agents (id) on delete cascade,
    model_id uuid not null references public.models (id) on delete cascade,
    tenant_id text,
    is_enabled boolean not null default true,
    priority_override bigint check (priority_override between 0 and 100),
    enabled_by text,
    enabled_at timestamptz not null default now(),
    unique (agent_id, model_id)
);
create index agent_models_by_model on public.agent_models (model_id);
create index agent_models_by_tenant on public.agent_models (tenant_id);
select scorehouse.describe('public.agent_models', 'Which models an agent may use. An agent without rows may use none', '{
    "agent_id": "Agent (its UUID)",
    "model_id": "Model it may use",
    "is_enabled": "false: switched off, with its priority kept",
    "priority_override": "Base priority for this agent, 0..100; null: the model''s",
    "enabled_by": "Account that set it",
    "enabled_at": "When it was set (UTC)"
}');

create table public.audit_log (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid primary key default gen_random_uuid(),
    tenant_id text,
    actor_id text,
    actor_role text,
    action text not null,
    object_type text not null,
    object_id text not null,
    old_value public.object,
    new_value public.object,
    reason text,
    request_id text,
    ip_address text,
    user_agent text,
    created_at timestamptz not null default now()
);
create index audit_log_by_horizon on public.audit_log (txid, commit_seq);
create index audit_log_by_tenant on public.audit_log (tenant_id, created_at);
create index audit_log_by_object on public.audit_log (object_type, object_id);
create index audit_log_by_time on public.audit_log (created_at);
select scorehouse.describe('public.audit_log', 'Every change that a person or an agent made. Append-only', '{
    "actor_id": "Account that did it; null: the engine",
    "actor_role": "Role it had: platform_admin, tenant_admin, user, agent, service",
    "action": "insert, update, delete, or a command such as set_agent_models",
    "object_type": "Table of what was changed",
    "object_id": "Its id",
    "old_value": "The row before; null: there was none",
    "new_value": "The row after; null: it is gone",
    "reason": "What the actor said of it",
    "request_id": "Request by which it came",
    "ip_address": "Where the request came from",
    "user_agent": "Program that sent it"
}');

create table public.request_logs (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid primary key default gen_random_uuid(),
    request_id text,
    tenant_id text,
    user_id text,
    agent_id text,
    method text not null,
    path text not null,
    status_code bigint check (status_code between 100 and 599),
    request public.object,
    response public.object,
    decision_id text,
    error_details text,
    ip_address text,
    user_agent text,
    duration_ms public.amount,
    created_at timestamptz not null default now()
);
create index request_logs_by_horizon on public.request_logs (txid, commit_seq);
create index request_logs_by_tenant on public.request_logs (tenant_id, created_at);
create index request_logs_by_time on public.request_logs (created_at);
select scorehouse.describe('public.request_logs', 'Requests to the HTTP service, where a policy wants them logged. Append-only', '{
    "request_id": "The caller''s own id, or ours",
    "method": "HTTP method",
    "path": "HTTP path, without its query",
    "status_code": "HTTP status of the answer",
    "request": "What was asked, without secrets",
    "response": "What was answered, without secrets",
    "decision_id": "Routing decision that was made for it",
    "error_details": "What went wrong; null: nothing",
    "ip_address": "Where it came from",
    "user_agent": "Program that sent it",
    "duration_ms": "How long it took, in ms"
}');

create table public.compliance_log (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid primary key default gen_random_uuid(),
    tenant_id text,
    event_type text not null,
    subject_type text not null,
    subject_id text,
    actor_id text,
    details public.object not null default '{}',
    created_at timestamptz not null default now()
);
create index compliance_log_by_horizon on public.compliance_log (txid, commit_seq);
create index compliance_log_by_tenant on public.compliance_log (tenant_id, created_at);
select scorehouse.describe('public.compliance_log', 'What somebody may have to prove: exports, deletions, retention. Append-only', '{
    "event_type": "What was done: data_export, data_deletion, retention, access_review, ...",
    "subject_type": "What it was done to: a table, a user, a tenant",
    "subject_id": "Which one",
    "actor_id": "Account that did it; null: the engine",
    "details": "JSON object: counts, dates, grounds"
}');
