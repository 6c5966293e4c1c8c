-- What a cached token costs, where a price comes from, prices that are held back, and corrections of prices that were wrong.
--
-- prices is a history. A model's price in force is its newest row without a quarantine_reason; a row whose prices are null
-- says that no source gives one any more. source is one of provider_api (the models endpoint), simulated (that of a simulated
-- provider), admin (`prices set`), settings (scorehouse.toml), genai-prices (the price library: an estimate).
alter table prices add column cached_input_price_per_m real check (cached_input_price_per_m >= 0);
alter table prices add column source_version text;     -- the price library's version, '0.2.3'
alter table prices add column matched_model text;      -- the price library's own id of the model it took this one for
alter table prices add column quarantine_reason text;  -- why the row does not count; null: it counts
create index prices_in_quarantine on prices (model_id) where quarantine_reason is not null;

-- A price that was wrong: every result that names price_id costs by these prices from now on (the newest row of a price_id
-- counts). The results themselves keep what was computed then. Append-only.
create table repricings (
    commit_seq integer primary key autoincrement,
    id text not null unique,
    price_id text not null,
    input_price_per_m real not null check (input_price_per_m >= 0),
    output_price_per_m real not null check (output_price_per_m >= 0),
    cached_input_price_per_m real check (cached_input_price_per_m >= 0),  -- null: as input
    reason text not null,
    created_at text not null
) strict;
create index repricings_by_price on repricings (price_id, created_at);

drop view catalog;

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
    price.cached_input_price_per_m as pricing_cached_input,
    price.id as price_id,
    price.source as price_source,
    price.source = 'genai-prices' as is_price_estimated,
    m.is_available and p.is_active as is_available,
    coalesce(o.is_active, m.is_active) as is_active,
    coalesce(o.is_enabled, 1) as is_enabled,
    m.is_manual,
    p.is_simulated,
    m.rejected_parameters,
    m.metadata,
    m.synced_at,
    m.created_at,
    m.updated_at
from models as m
inner join providers as p on m.provider_id = p.id
left join model_overrides as o on m.id = o.model_id
left join prices as price on price.id = (
    select q.id from prices as q
    where q.model_id = m.id and q.quarantine_reason is null
    order by q.timestamp desc, q.id desc
    limit 1
);

-- Prices that somebody should look at: the newest word on a model's price, which does not count.
create view quarantined_prices as
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
from prices as p
inner join models as m on p.model_id = m.id
inner join providers as r on p.provider_id = r.id
where p.quarantine_reason is not null and p.id = (
    select q.id from prices as q
    where q.model_id = p.model_id
    order by q.timestamp desc, q.id desc
    limit 1
);

-- What each result costs now: by the newest correction of its price, else as it was computed (or reported) then.
create view result_costs as
select
    r.id,
    r.run_id,
    r.provider,
    r.model,
    r.is_simulated,
    case
        when c.id is null then r.cost_usd
        else (
            (r.input_tokens - min(coalesce(r.cached_input_tokens, 0), r.input_tokens)) * c.input_price_per_m
            + min(coalesce(r.cached_input_tokens, 0), r.input_tokens) * coalesce(c.cached_input_price_per_m, c.input_price_per_m)
            + r.output_tokens * c.output_price_per_m
        ) / 1e6
    end as cost_usd,
    r.cost_usd as original_cost_usd,
    r.cost_source,
    r.price_id,
    c.id as repricing_id,
    r.created_at
from benchmark_results as r
left join repricings as c on r.cost_source = 'price' and c.id = (
    select n.id from repricings as n
    where n.price_id = r.price_id
    order by n.created_at desc, n.id desc
    limit 1
);

drop view model_metric_events;

-- Requirement B3's name for every query, benchmark or live.
create view model_metric_events as
select
    r.id, r.model, r.domain,
    r.total_latency_ms as latency_ms,
    r.input_tokens as tokens_input,
    r.output_tokens as tokens_output,
    c.cost_usd as cost,
    r.success, r.confidence, r.benchmark_id, r.correct, r.is_simulated, r.created_at
from benchmark_results as r
inner join result_costs as c on r.id = c.id
where r.outcome not in ('aborted', 'skipped')
union all
select
    id, model, domain, latency_ms, tokens_input, tokens_output, cost,
    success, confidence, null as benchmark_id, correct, is_simulated, created_at
from request_events;
