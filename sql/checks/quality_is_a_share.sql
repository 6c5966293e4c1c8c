-- fail: a quality lies between 0 and 1 inside its interval, and exists just where there is a sample
select model, scope, task_type, tenant_id, agent, quality, quality_n, quality_low, quality_high
from routing_scores
where
    (quality is null) <> (quality_n = 0)
    or (quality is null) <> (quality_low is null)
    or (quality is null) <> (quality_se is null)
    or not coalesce(
        isfinite(quality) and quality between -1e-9 and 1 + 1e-9
        and quality_low <= quality + 1e-9 and quality <= quality_high + 1e-9, true
    )
    or not coalesce(
        isfinite(learned_quality) and learned_quality between 0 and 1 and isfinite(learned_se) and learned_se > 0
        and isfinite(learned_n) and learned_n > 0 and own_share between 0 and 1
        and learned_low <= learned_quality and learned_quality <= learned_high, true
    )
order by model, scope, task_type, tenant_id, agent
