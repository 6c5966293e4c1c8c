-- warn: a price that is not in quarantine is a finite number of USD and not negative
select model, timestamp, input_price_per_m, output_price_per_m, cached_input_price_per_m
from price_history
where
    quarantine_reason is null and not (
        coalesce(isfinite(input_price_per_m) and input_price_per_m >= 0, true)
        and coalesce(isfinite(output_price_per_m) and output_price_per_m >= 0, true)
        and coalesce(isfinite(cached_input_price_per_m) and cached_input_price_per_m >= 0, true)
    )
order by model, timestamp
