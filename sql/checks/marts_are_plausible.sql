-- fail: in a mart by hour or day errors are some of the requests, means and costs are finite and not negative
with figures as (
    select
        'hourly_trends' as mart,
        concat_ws(' ', hour, source, provider) as named,
        requests,
        errors,
        unnest([latency_ms, ttft_ms, tps, total_cost, error_rate]) as amount
    from hourly_trends
    union all
    select
        'organization_daily' as mart,
        concat_ws(' ', date, tenant_id) as named,
        requests,
        errors,
        unnest([latency_ms, total_cost, error_rate]) as amount
    from organization_daily
    union all
    select
        'error_breakdown' as mart,
        concat_ws(' ', date, source, provider, model, error_type) as named,
        provider_requests as requests,
        errors,
        error_rate as amount
    from error_breakdown
)

select mart, named, requests, errors, amount
from figures
where not coalesce(requests > 0 and errors between 0 and requests, false) or not coalesce(isfinite(amount) and amount >= 0, true)
order by mart, named, amount
