-- price changes of the last 30 days, in USD per 1M tokens; one with a quarantine_reason never counted
-- window: 30 days
select
    model,
    timestamp,
    input_price_per_m,
    output_price_per_m,
    cached_input_price_per_m,
    source,
    quarantine_reason
from price_history
where timestamp > $since and timestamp <= $as_of
order by model, timestamp, price_id
