-- one row per benchmark result whose price was corrected: what it costs in USD by the newest correction
-- Input tokens are the inclusive total; those read from the provider's cache cost the cached price where it is known.
select
    r.id,
    p.id as repricing_id,
    (
        (r.input_tokens - least(coalesce(r.cached_input_tokens, 0), r.input_tokens)) * p.input_price_per_m
        + least(coalesce(r.cached_input_tokens, 0), r.input_tokens) * coalesce(p.cached_input_price_per_m, p.input_price_per_m)
        + r.output_tokens * p.output_price_per_m
    ) / 1e6 as cost_usd
from benchmark_results as r
inner join (
    select *
    from repricings
    qualify row_number() over (partition by price_id order by created_at desc, id desc) = 1
) as p on r.price_id = p.price_id
where r.cost_source = 'price'
order by r.id
