-- one row per window_name, model, domain; domain null: all of them together
-- Rates with their Wilson interval, means with n, sample variance (null for n < 2) and interval, percentiles with theirs;
-- every interval is of 95 %. What nobody measured is null.
-- The interval of a mean is that of the t statistic after Hall's cubic transformation, which takes out its skewness (P. Hall,
-- On the removal of skewness by transformation, J. R. Statist. Soc. B 54, 1992, 221-228), with the skewness of the histogram,
-- corrected for n (Joanes and Gill, The Statistician 47, 1998, 183-189). Of the methods compared by simulation (plain t,
-- Johnson's, Cox's for the log-normal, t of the logarithm) it alone stays near 95 % for log-normals up to sigma 1 and for
-- mixtures, from n = 30; with fewer, and for tails that n rows hardly show, it covers less (benchmarks/intervals.py).
-- Rows are numbered, so that only quantiles have to be found by their names.
with numbered as materialized (
    select
        *,
        row_number() over () as number
    from window_moments
),

measured as (
    select
        number, window_name, model, domain, 'latency_ms' as metric,
        latency_n as n, cast(latency_sum as hugeint) as total, cast(latency_squares as hugeint) as squares
    from numbered
    where latency_n > 0
    union all
    select
        number, window_name, model, domain, 'ttft_ms' as metric,
        ttft_n as n, cast(ttft_sum as hugeint) as total, cast(ttft_squares as hugeint) as squares
    from numbered
    where ttft_n > 0
    union all
    select
        number, window_name, model, domain, 'tps' as metric,
        tps_n as n, cast(tps_sum as hugeint) as total, cast(tps_squares as hugeint) as squares
    from numbered
    where tps_n > 0
    union all
    select
        number, window_name, model, domain, 'inter_token_ms' as metric,
        inter_token_n as n, cast(inter_token_sum as hugeint) as total, cast(inter_token_squares as hugeint) as squares
    from numbered
    where inter_token_n > 0
),

-- ticks of 0.01 back to their unit
estimated as (
    select
        m.*,
        q.p50,
        q.p50_low,
        q.p50_high,
        q.p95,
        q.p95_low,
        q.p95_high,
        q.p99,
        q.p99_low,
        q.p99_high,
        cast(m.total as double) / m.n / 100 as mean,
        cast(m.n * m.squares - m.total * m.total as double) / nullif(m.n * (m.n - 1), 0) / 10000 as variance,
        coalesce(q.skewness * sqrt(m.n * (m.n - 1.0)) / (m.n - 2), 0) / sqrt(m.n) / 3 as bend,
        1.959963984540054 as z,
        1.0 / nullif(m.n - 1, 0) as per_degree
    from measured as m
    left join window_quantiles as q
        on
            m.window_name = q.window_name and m.model = q.model
            and m.domain is not distinct from q.domain and m.metric = q.metric
),

-- Student's quantile for 95 %: Cornish and Fisher's expansion, which is right to 0.3 % from 4 degrees of freedom on
student as (
    select
        *,
        sqrt(variance / n) as mean_error,
        case n
            when 2 then 12.706204736
            when 3 then 4.302652730
            when 4 then 3.182446305
            else
                z + (pow(z, 3) + z) / 4 * per_degree
                + (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / 96 * pow(per_degree, 2)
                + (3 * pow(z, 7) + 19 * pow(z, 5) + 17 * pow(z, 3) - 15 * z) / 384 * pow(per_degree, 3)
        end as t
    from estimated
),

spread as (
    select
        *,
        -- greatest ignores nulls: an interval of nothing must stay null
        case
            when n > 1
                then greatest(0.0, mean - mean_error * case
                    when abs(bend) < 1e-6 then t - bend / 2 else (cbrt(1 + 3 * bend * (t - bend / 2)) - 1) / bend
                end)
        end as low,
        mean + mean_error * case
            when abs(bend) < 1e-6 then t + bend / 2 else (1 - cbrt(1 - 3 * bend * (t + bend / 2))) / bend
        end as high
    from student
),

shares as (
    select
        *,
        correct / nullif(graded, 0) as accuracy,
        (failed + incomplete) / nullif(requests, 0) as failure_rate,
        1.959963984540054 as z
    from numbered
),

wilson as (
    select
        *,
        (accuracy + z * z / (2 * graded)) / (1 + z * z / graded) as accuracy_middle,
        z * sqrt(accuracy * (1 - accuracy) / graded + z * z / (4.0 * graded * graded)) / (1 + z * z / graded) as accuracy_reach,
        (failure_rate + z * z / (2 * requests)) / (1 + z * z / requests) as failure_middle,
        z * sqrt(failure_rate * (1 - failure_rate) / requests + z * z / (4.0 * requests * requests))
        / (1 + z * z / requests) as failure_reach
    from shares
)

select
    m.window_name,
    m.model,
    m.domain,
    m.requests as usage_count,
    m.succeeded,
    m.incomplete,
    m.failed,
    m.graded,
    m.correct,
    m.accuracy,
    case when m.graded > 0 then greatest(0.0, m.accuracy_middle - m.accuracy_reach) end as accuracy_low,
    case when m.graded > 0 then least(1.0, m.accuracy_middle + m.accuracy_reach) end as accuracy_high,
    m.failure_rate,
    greatest(0.0, m.failure_middle - m.failure_reach) as failure_rate_low,
    least(1.0, m.failure_middle + m.failure_reach) as failure_rate_high,
    m.latency_n,
    latency.mean as latency_mean_ms,
    latency.low as latency_mean_low_ms,
    latency.high as latency_mean_high_ms,
    latency.variance as latency_variance_ms2,
    latency.p50 as latency_p50_ms,
    latency.p50_low as latency_p50_low_ms,
    latency.p50_high as latency_p50_high_ms,
    latency.p95 as latency_p95_ms,
    latency.p95_low as latency_p95_low_ms,
    latency.p95_high as latency_p95_high_ms,
    latency.p99 as latency_p99_ms,
    latency.p99_low as latency_p99_low_ms,
    latency.p99_high as latency_p99_high_ms,
    m.ttft_n,
    ttft.mean as ttft_mean_ms,
    ttft.low as ttft_mean_low_ms,
    ttft.high as ttft_mean_high_ms,
    ttft.variance as ttft_variance_ms2,
    ttft.p50 as ttft_p50_ms,
    ttft.p50_low as ttft_p50_low_ms,
    ttft.p50_high as ttft_p50_high_ms,
    ttft.p95 as ttft_p95_ms,
    ttft.p95_low as ttft_p95_low_ms,
    ttft.p95_high as ttft_p95_high_ms,
    ttft.p99 as ttft_p99_ms,
    ttft.p99_low as ttft_p99_low_ms,
    ttft.p99_high as ttft_p99_high_ms,
    m.tps_n,
    tps.mean as tps_mean,
    tps.low as tps_mean_low,
    tps.high as tps_mean_high,
    tps.variance as tps_variance,
    tps.p50 as tps_p50,
    tps.p50_low as tps_p50_low,
    tps.p50_high as tps_p50_high,
    tps.p95 as tps_p95,
    m.inter_token_n,
    inter_token.mean as inter_token_mean_ms,
    inter_token.variance as inter_token_variance_ms2,
    inter_token.p50 as inter_token_p50_ms,
    inter_token.p95 as inter_token_p95_ms,
    inter_token.p99 as inter_token_p99_ms,
    m.cost_n,
    cast(m.cost_sum as double) / nullif(m.cost_n, 0) / 1e9 as cost_per_query,
    m.tokens_n,
    cast(m.tokens_sum as double) / nullif(m.tokens_n, 0) as tokens_per_query,
    m.output_n,
    cast(m.output_sum as double) / nullif(m.output_n, 0) as avg_output_length,
    m.confidence_n,
    cast(m.confidence_sum as double) / nullif(m.confidence_n, 0) / 1e6 as confidence,
    m.last_seen as last_updated
from wilson as m
left join spread as latency on m.number = latency.number and latency.metric = 'latency_ms'
left join spread as ttft on m.number = ttft.number and ttft.metric = 'ttft_ms'
left join spread as tps on m.number = tps.number and tps.metric = 'tps'
left join spread as inter_token on m.number = inter_token.number and inter_token.metric = 'inter_token_ms'
order by m.window_name, m.model, m.domain
