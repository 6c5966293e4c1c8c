-- one row per snapshot: noise, the variance of one rating about the mean of its model at its task, pooled over all of them
-- Two ratings' worth of 0.05 stand in where there is hardly any repetition. Terms are added as whole numbers.
select
    (coalesce(sum(cast(round(effective_n * spread * 1e9) as hugeint)), 0) / 1e9 + 2 * 0.05)
    / (coalesce(sum(cast(round((effective_n - 1) * 1e9) as hugeint)), 0) / 1e9 + 2) as noise
from decayed_votes
where breadth = 'task' and effective_n > 1
order by noise
