-- The same facts under the other names that users have for them. A view shows what its reader may see, no more.

create view public.catalog with (security_invoker = true) as
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
    price.cached_input_price_per_m as pricing_cached_input,
    price.id as price_id,
    price.source as price_source,
    price.source = 'genai-prices' as is_price_estimated,
    m.is_available and p.is_active as is_available,
    coalesce(o.is_active, m.is_active) as is_active,
    coalesce(o.is_enabled, true) as is_enabled,
    m.is_manual,
    p.is_simulated,
    m.rejected_parameters,
    m.metadata,
    m.synced_at,
    m.created_at,
    m.updated_at
from public.models as m
inner join public.providers as p on m.provider_id = p.id
left join public.model_overrides as o on m.id = o.model_id
left join lateral (
    select q.* from public.prices as q
    where q.model_id = m.id and q.quarantine_reason is null
    order by q.timestamp desc, q.id desc
    limit 1
) as price on true;
select scorehouse.describe('public.catalog', 'A model as everyone but a sync sees it: what the admin set, else what the provider says', '{
    "model_id": "UUID of the model",
    "id": "Key of the model: provider key / external id",
    "provider_id": "Key of its provider",
    "provider_name": "Display name of its provider",
    "external_id": "The provider''s own id for it",
    "display_name": "Name for people",
    "model_type": "chat or embedding",
    "capabilities": "JSON object: capability -> origin",
    "priority": "Base priority, 0..100",
    "cost_tier": "free, low, standard or premium; null: no price",
    "domains": "JSON list of domains it is meant for",
    "ctx_length": "Tokens that fit",
    "pricing_input": "USD per 1M input tokens; null: unknown",
    "pricing_output": "USD per 1M output tokens; null: unknown",
    "pricing_cached_input": "USD per 1M input tokens read from the provider''s cache; null: unknown",
    "price_id": "UUID of the price row in force",
    "price_source": "Who says so",
    "is_price_estimated": "Whether a price library says so and not the provider",
    "is_available": "Whether the provider lists it and is not disabled",
    "is_active": "Whether it is benchmarked",
    "is_enabled": "Whether a router may answer it",
    "is_manual": "Added by hand",
    "rejected_parameters": "JSON object: parameter -> UTC time at which the provider refused it by name",
    "metadata": "The provider''s raw entry",
    "synced_at": "When a sync last changed it (UTC)",
    "created_at": "When it was first seen (UTC)"
}');

create view public.provider_registry with (security_invoker = true) as
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
    (select count(*) from public.models as m where m.provider_id = p.id and m.is_available) as model_count
from public.providers as p;
select scorehouse.describe('public.provider_registry', 'Providers in the words of the registry', '{
    "id": "Key of the provider",
    "display_name": "Name for people",
    "provider_type": "What it speaks",
    "api_base": "Address that requests go to",
    "models_endpoint": "Address of its catalog; null: the one its type has",
    "api_key_vault_path": "Where Vault keeps its key: a path, not a key",
    "rate_limit_rpm": "Requests a minute that it takes from us; null: not set",
    "is_active": "false: disabled",
    "last_synced": "Last sync that succeeded (UTC)",
    "last_sync_error": "Time and reason of the sync that failed since; null after a success",
    "created_by": "Account that added it",
    "created_at": "When it was added (UTC)",
    "model_count": "Models that it lists now"
}');

create view public.quarantined_prices with (security_invoker = true) as
select
    p.id,
    r.key as provider,
    m.key as model,
    p.provider_id,
    p.model_id,
    p.input_price_per_m,
    p.output_price_per_m,
    p.cached_input_price_per_m,
    p.source,
    p.quarantine_reason,
    p.timestamp
from public.prices as p
inner join public.models as m on p.model_id = m.id
inner join public.providers as r on p.provider_id = r.id
inner join lateral (
    select q.id from public.prices as q
    where q.model_id = p.model_id
    order by q.timestamp desc, q.id desc
    limit 1
) as newest on p.id = newest.id
where p.quarantine_reason is not null;
select scorehouse.describe('public.quarantined_prices', 'The newest word on a model''s price, where it does not count', '{
    "id": "UUID of the price row",
    "provider": "Key of the provider",
    "model": "Key of the model",
    "provider_id": "UUID of the provider",
    "model_id": "UUID of the model",
    "input_price_per_m": "USD per 1M input tokens; null: none, or no price",
    "output_price_per_m": "USD per 1M output tokens; null: none, or no price",
    "cached_input_price_per_m": "USD per 1M input tokens read from the provider''s cache; null: unknown",
    "source": "Who says so",
    "quarantine_reason": "Why it does not count",
    "timestamp": "Since when (UTC)"
}');

create view public.result_costs with (security_invoker = true) as
select
    r.id,
    r.run_id,
    r.provider,
    r.model,
    r.is_simulated,
    case
        when c.id is null then r.cost_usd
        else (
            (r.input_tokens - least(coalesce(r.cached_input_tokens, 0), r.input_tokens)) * c.input_price_per_m
            + least(coalesce(r.cached_input_tokens, 0), r.input_tokens) * coalesce(c.cached_input_price_per_m, c.input_price_per_m)
            + r.output_tokens * c.output_price_per_m
        ) / 1e6
    end as cost_usd,
    r.cost_usd as original_cost_usd,
    r.cost_source,
    r.price_id,
    c.id as repricing_id,
    r.created_at
from public.benchmark_results as r
left join lateral (
    select n.* from public.repricings as n
    where n.price_id = r.price_id and r.cost_source = 'price'
    order by n.created_at desc, n.id desc
    limit 1
) as c on true;
select scorehouse.describe('public.result_costs', 'What each result costs now: by the newest correction of its price, else as it was computed then', '{
    "id": "UUID of the result",
    "run_id": "Run it belongs to",
    "cost_usd": "Cost in USD, by the newest correction; null: unknown",
    "original_cost_usd": "Cost in USD as computed or reported then; null: unknown",
    "cost_source": "provider: it said so; price: computed",
    "price_id": "Price row that it was computed from",
    "repricing_id": "Correction that holds; null: none",
    "created_at": "When the request went out (UTC)"
}');

create view public.model_metric_events with (security_invoker = true) as
select
    r.id,
    r.model,
    r.domain,
    r.total_latency_ms as latency_ms,
    r.input_tokens as tokens_input,
    r.output_tokens as tokens_output,
    c.cost_usd as cost,
    r.success,
    r.confidence,
    r.benchmark_id,
    r.correct,
    r.is_simulated,
    r.created_at
from public.benchmark_results as r
inner join public.result_costs as c on r.id = c.id
where r.outcome not in ('aborted', 'skipped')
union all
select
    id,
    model,
    domain,
    latency_ms,
    tokens_input,
    tokens_output,
    cost,
    success,
    confidence,
    null as benchmark_id,
    correct,
    is_simulated,
    created_at
from public.request_events;
select scorehouse.describe('public.model_metric_events', 'Every query, benchmark or live', '{
    "id": "UUID of the result or request",
    "latency_ms": "Whole duration, in ms",
    "tokens_input": "Tokens sent",
    "tokens_output": "Tokens answered",
    "cost": "Cost in USD; null: unknown",
    "success": "Whether it was answered",
    "confidence": "The answer''s confidence, 0..1",
    "benchmark_id": "Gold question; null: none",
    "correct": "Whether it was answered rightly; null: not graded"
}');

create view public.metrics with (security_invoker = true) as
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
from public.request_events;
select scorehouse.describe('public.metrics', 'Live requests in the words of the metrics client', '{
    "id": "UUID of the request",
    "request_id": "The caller''s own id",
    "timestamp": "When it happened (UTC)",
    "prompt_tokens": "Tokens sent",
    "output_tokens": "Tokens answered",
    "total_tokens": "Both, or as the caller counted",
    "response_cost": "Cost in USD; null: unknown",
    "latency_ms": "Whole duration, in ms",
    "cache_hit": "Whether a cache answered",
    "batch_id": "Batch it belonged to",
    "team_alias": "The caller''s team",
    "status": "The caller''s word for how it went"
}');

create view public.request_analytics with (security_invoker = true) as
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
from public.request_events;
select scorehouse.describe('public.request_analytics', 'Live requests by user and organization', '{
    "id": "UUID of the request",
    "tenant_id": "Organization",
    "provider": "Key or name of the provider; null: not said",
    "cost": "Cost in USD; null: unknown",
    "latency_ms": "Whole duration, in ms",
    "tokens_input": "Tokens sent",
    "tokens_output": "Tokens answered",
    "success": "Whether it was answered"
}');

create view public.messages with (security_invoker = true) as
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
from public.request_events as e
left join lateral (
    select n.rating, n.feedback_type, n.created_at from public.feedback_events as n
    where n.message_id = e.message_id
    order by n.created_at desc, n.id desc
    limit 1
) as f on true
where e.message_id is not null;
select scorehouse.describe('public.messages', 'Messages of conversations, each with the newest opinion on it', '{
    "id": "The message''s id",
    "conversation_id": "Conversation it belongs to",
    "role": "Whose message: system, user, assistant, tool",
    "content": "Its text; null: not stored",
    "latency_ms": "How long it took, in ms",
    "token_count": "Tokens, in and out",
    "metadata": "JSON object: whatever the caller added",
    "tools_used": "JSON list of tool names",
    "rating": "0..1; null: nobody said anything certain",
    "feedback_type": "explicit, implicit or self_eval",
    "feedback_at": "When that was said (UTC)"
}');
