-- Providers, their models, what an admin set on them, what they cost, and the domains they are asked about.

create table public.providers (
    id uuid primary key default gen_random_uuid(),
    key text not null unique,
    name text not null unique,
    provider_type text not null
    check (provider_type in ('openai', 'groq', 'together', 'openrouter', 'anthropic', 'azure', 'custom')),
    base_url text not null,
    models_endpoint text,
    api_key_vault_path text,
    rate_limit_rpm bigint check (rate_limit_rpm > 0),
    logo_url text,
    is_active boolean not null default true,
    is_simulated boolean not null default false,
    is_private_allowed boolean not null default false,
    last_synced timestamptz,
    last_sync_error text,
    created_by text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
select scorehouse.describe('public.providers', 'Who is asked: one row per provider. Its key is in Vault, never here', '{
    "key": "What people type: openrouter",
    "name": "Display name: OpenRouter",
    "provider_type": "What it speaks: openai, groq, together, openrouter, anthropic, azure or custom",
    "base_url": "Address that requests go to",
    "models_endpoint": "Address of its catalog; null: the one its type has",
    "api_key_vault_path": "Where Vault keeps its key: a path, not a key",
    "rate_limit_rpm": "Requests a minute that it takes from us; null: not set",
    "logo_url": "Address of its logo",
    "is_active": "false: disabled, and with it all of its models",
    "is_private_allowed": "Whether base_url may lead into a private network",
    "last_synced": "Last sync of its catalog that succeeded (UTC)",
    "last_sync_error": "Time and reason of the sync that failed since; null after a success",
    "created_by": "Account that added it",
    "created_at": "When it was added (UTC)"
}');

create table public.models (
    id uuid primary key default gen_random_uuid(),
    key text not null unique,
    name text not null,
    provider_id uuid not null references public.providers (id) on delete cascade,
    display_name text not null,
    model_type text not null default 'chat',
    capabilities public.object not null default '{}',
    priority bigint not null default 50 check (priority between 0 and 100),
    cost_tier text check (cost_tier in ('free', 'low', 'standard', 'premium')),
    domains public.list not null default '[]',
    context_window bigint check (context_window > 0),
    is_available boolean not null default true,
    is_active boolean not null default false,
    is_manual boolean not null default false,
    metadata public.object not null default '{}',
    synced_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    rejected_parameters public.object not null default '{}',
    unique (name, provider_id)
);
create index models_by_provider on public.models (provider_id);
select scorehouse.describe('public.models', 'What can be asked, as its provider lists it: one row per model', '{
    "key": "Provider key / external id: openrouter/google/gemma-2-9b:free",
    "name": "The provider''s own id for it (external id)",
    "provider_id": "Provider that has it",
    "display_name": "Name for people",
    "model_type": "chat or embedding",
    "capabilities": "JSON object: capability -> origin (declared, catalogue, inferred, admin)",
    "priority": "Base priority, 0..100",
    "cost_tier": "free, low, standard or premium, by its price; null: no price",
    "domains": "JSON list of domains it is meant for",
    "context_window": "Tokens that fit",
    "is_available": "Whether the provider lists it",
    "is_active": "Whether it is benchmarked",
    "is_manual": "Added by hand: a sync does not make it vanish",
    "metadata": "The provider''s raw entry",
    "synced_at": "When a sync last changed it (UTC)",
    "created_at": "When it was first seen (UTC)",
    "rejected_parameters": "JSON object: parameter -> UTC time at which the provider refused it by name; a sync never touches it"
}');

create table public.model_overrides (
    model_id uuid primary key references public.models (id) on delete cascade,
    display_name text,
    model_type text,
    capabilities public.object,
    priority bigint check (priority between 0 and 100),
    cost_tier text check (cost_tier in ('free', 'low', 'standard', 'premium')),
    domains public.list,
    context_window bigint check (context_window > 0),
    is_active boolean,
    is_enabled boolean,
    set_by text,
    updated_at timestamptz not null default now()
);
select scorehouse.describe('public.model_overrides', 'What an admin set on a model; a sync never writes here. Null: as synced', '{
    "model_id": "Model it is about",
    "display_name": "Name for people",
    "model_type": "chat or embedding",
    "capabilities": "JSON object: capability -> origin",
    "priority": "Base priority, 0..100",
    "cost_tier": "free, low, standard or premium",
    "domains": "JSON list of domains it is meant for",
    "context_window": "Tokens that fit",
    "is_active": "Whether it is benchmarked",
    "is_enabled": "false: nobody''s router may answer it",
    "set_by": "Account that set it"
}');

create table public.prices (
    id uuid primary key default gen_random_uuid(),
    provider_id uuid not null references public.providers (id) on delete cascade,
    model_id uuid not null references public.models (id) on delete cascade,
    input_price_per_m public.amount,
    output_price_per_m public.amount,
    source text not null,
    timestamp timestamptz not null,
    cached_input_price_per_m public.amount,
    source_version text,
    matched_model text,
    quarantine_reason text
);
create index prices_by_model on public.prices (model_id, timestamp, id);
create index prices_by_provider on public.prices (provider_id);
create index prices_by_time on public.prices (timestamp);
create index prices_in_quarantine on public.prices (model_id) where quarantine_reason is not null;
select scorehouse.describe('public.prices', 'Price history: a row when a price changed, in force until the model''s next one', '{
    "provider_id": "Provider that asks it",
    "model_id": "Model that costs it",
    "input_price_per_m": "USD per 1M input tokens; null: unknown",
    "output_price_per_m": "USD per 1M output tokens; null: unknown",
    "source": "Who says so: provider_api, settings, admin, genai-prices or simulated",
    "timestamp": "In force from here (UTC)",
    "cached_input_price_per_m": "USD per 1M input tokens read from the provider''s cache; null: unknown",
    "source_version": "Version of the price library",
    "matched_model": "The price library''s own id of the model",
    "quarantine_reason": "Why it is not believed, so never in force; null: it counts"
}');

create table public.domains (
    id uuid primary key default gen_random_uuid(),
    name text not null unique,
    description text not null,
    created_at timestamptz not null default now()
);
select scorehouse.describe('public.domains', 'What models are asked about (math, coding, medical, general, ...)', '{
    "name": "Its name, as other tables have it",
    "description": "What belongs to it",
    "created_at": "When it was added (UTC)"
}');

create table public.domain_benchmarks (
    id uuid primary key default gen_random_uuid(),
    domain text not null references public.domains (name) on delete cascade,
    prompt text not null,
    expected_answer text not null,
    grader text not null,
    difficulty bigint not null default 1,
    tags public.list not null default '[]',
    created_at timestamptz not null default now()
);
create index domain_benchmarks_by_domain on public.domain_benchmarks (domain);
select scorehouse.describe('public.domain_benchmarks', 'Gold questions: what accuracy is measured by', '{
    "domain": "Domain it belongs to",
    "prompt": "What is sent",
    "expected_answer": "What is right",
    "grader": "How an answer is compared: exact, numeric, choice, ...",
    "difficulty": "From 1 up",
    "tags": "JSON list of words",
    "created_at": "When it was added (UTC)"
}');

create table public.task_domains (
    id uuid primary key default gen_random_uuid(),
    task_type text not null,
    domain text not null references public.domains (name) on delete cascade,
    unique (task_type, domain)
);
create index task_domains_by_domain on public.task_domains (domain);
select scorehouse.describe('public.task_domains', 'Which domains'' benchmarks speak for which type of task', '{
    "domain": "Domain whose gold questions speak for it"
}');
