#!/usr/bin/env bash
# Measure a real gateway, the LiteLLM proxy, from an empty folder to a routing answer; docs/how-to/measure-a-gateway.md is the page.
#
# Everything happens in a temporary folder: an environment for LiteLLM (about 750 MB), its configuration, an empty SCOREHOUSE_HOME.
# No request leaves this machine after the installation. Exit 0: rows and an answer came, and were what they should be.
#
#   LITELLM_VERSION=1.106.2   what to install          LITELLM_ENV=FOLDER   use an environment that has it
#   PORT=14000                where the proxy listens (default: a free port)       KEEP=1   leave the folder for a look
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
version=${LITELLM_VERSION:-1.106.2}
work=$(mktemp -d "${TMPDIR:-/tmp}/measure-a-gateway.XXXXXX")
proxy=

clean_up() {
    code=$?
    trap - EXIT
    if [[ -n $proxy ]] && kill "$proxy" 2>/dev/null; then
        wait "$proxy" 2>/dev/null || true
    fi
    if [[ $code -ne 0 && -s $work/proxy.log ]]; then
        echo "--- the end of the proxy's log" >&2
        tail -n 20 "$work/proxy.log" >&2
    fi
    if [[ -n ${KEEP:-} ]]; then echo "Everything is in $work" >&2; else rm -rf "$work"; fi
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
    echo "measure-a-gateway: $*" >&2
    exit 1
}

step() {
    printf '\n# %s\n' "$*"
}

tell() { # show a command, then run it
    printf '$ %s\n' "$*"
    "$@"
}

# The command of this checkout if it is installed, else the one on the PATH; likewise Python and uv.
if [[ -x $root/.venv/bin/scorehouse ]]; then PATH=$root/.venv/bin:$PATH; fi
command -v scorehouse >/dev/null || fail "there is no command 'scorehouse'; 'make demo' installs it into .venv"
python=$(command -v python3) || fail "there is no python3"

step "LiteLLM $version in an environment of its own"
environment=${LITELLM_ENV:-$work/litellm}
if [[ ! -x $environment/bin/litellm ]]; then
    if command -v uv >/dev/null; then
        uv venv -q --python "$python" "$environment"
        uv pip install -q --python "$environment/bin/python" "litellm[proxy]==$version"
    else
        "$python" -m venv "$environment"
        "$environment/bin/python" -m pip install -q --disable-pip-version-check "litellm[proxy]==$version"
    fi
fi

step "Its configuration: two models that answer, one that is rate limited, one behind the messages dialect"
port=${PORT:-$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
LITELLM_MASTER_KEY=sk-$("$python" -c 'import secrets; print(secrets.token_hex(24))') # it refuses to start with a weak one
export LITELLM_MASTER_KEY
cat >"$work/litellm.yaml" <<YAML
model_list:
  - model_name: parrot                          # streams, three characters at a time
    litellm_params:
      model: openai/parrot
      api_key: unused
      mock_response: "The quick brown fox jumps over the lazy dog, and back again to see whether the dog has noticed."
  - model_name: guesser                         # right where the answer happens to be B or 12; has a price
    litellm_params:
      model: openai/guesser
      api_key: unused
      mock_response: "B, or 12"
      input_cost_per_token: 0.0000005
      output_cost_per_token: 0.0000015
  - model_name: limited                         # answers a real 429
    litellm_params:
      model: openai/limited
      api_key: unused
      mock_response: "litellm.RateLimitError"
  - model_name: bridge                          # asks this proxy itself: a mock does not stream on /v1/messages, a bridge does
    litellm_params:
      model: hosted_vllm/parrot
      api_base: http://127.0.0.1:$port/v1
      api_key: os.environ/LITELLM_MASTER_KEY
router_settings:
  num_retries: 0                                # else the proxy repeats a refused request, and its waiting is measured too
  disable_cooldowns: true
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
YAML

step "Start it, and wait until it is ready"
cd "$work" # no scorehouse.toml of the caller applies
LITELLM_LOCAL_MODEL_COST_MAP=True "$environment/bin/litellm" \
    --config litellm.yaml --host 127.0.0.1 --port "$port" >proxy.log 2>&1 &
proxy=$!
ready() {
    "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' \
        "http://127.0.0.1:$port/health/readiness" 2>/dev/null
}
began=$SECONDS
until ready; do
    kill -0 "$proxy" 2>/dev/null || fail "the proxy ended before it was ready"
    ((SECONDS - began < 300)) || fail "the proxy was not ready within 300 s"
    sleep 1
done
echo "ready after $((SECONDS - began)) s"

# The keys are read from the environment in development mode only; the name follows from the provider's id.
unset PREFECT_API_URL SCOREHOUSE_CONFIG SCOREHOUSE_DEFAULT_MODEL
export SCOREHOUSE_HOME=$work/home SCOREHOUSE_DEV=1
export GATEWAY_API_KEY=$LITELLM_MASTER_KEY GATEWAY_MESSAGES_API_KEY=$LITELLM_MASTER_KEY

step "Register it twice: once for each dialect"
tell scorehouse providers add gateway --type custom --base-url "http://127.0.0.1:$port" --models-endpoint /model/info
tell scorehouse providers add gateway-messages --type anthropic --base-url "http://127.0.0.1:$port"

step "Ask it what it serves, and say what is to be measured"
tell scorehouse models sync
for model in gateway/parrot gateway/guesser gateway/limited gateway-messages/bridge; do
    tell scorehouse models set "$model" --active
done
tell scorehouse models list

step "Measure: a short question five times, then the gold questions"
tell scorehouse bench --workload gold --dry-run
tell scorehouse bench --workload short --repeats 5
tell scorehouse bench --workload gold

step "Score, and ask"
tell scorehouse score
tell scorehouse route --min-samples 20
tell scorehouse query model_performance_24h
tell scorehouse query cost_30d
tell scorehouse status

step "Hold what came against what the configuration says"
scorehouse export benchmark_results --out rows.jsonl 2>/dev/null
scorehouse route --min-samples 20 --json >answer.json
"$python" - <<'PYTHON'
import json
from collections import Counter

rows = [json.loads(line) for line in open("rows.jsonl", encoding="utf-8")]
answer = json.load(open("answer.json", encoding="utf-8"))
by_model = {name: [row for row in rows if row["model"] == name] for name in sorted({row["model"] for row in rows})}
good = {"gateway/parrot", "gateway/guesser", "gateway-messages/bridge"}


def hold(claim, fact):
    if not fact:
        raise SystemExit(f"not so: {claim}")
    print(f"ok: {claim}")


hold("four models were measured, over both dialects", set(by_model) == good | {"gateway/limited"})
hold("each has as many rows", len({len(mine) for mine in by_model.values()}) == 1)
hold("no row is simulated", not any(row["is_simulated"] for row in rows))
answered = [row for name in good for row in by_model[name]]
hold("those that answer are ok with 200", all(row["outcome"] == "ok" and row["status_code"] == 200 for row in answered))
hold("a first token comes before the end", all(0 < row["ttft_ms"] <= row["total_latency_ms"] for row in answered))
hold("tokens are the gateway's own count", all(row["token_source"] == "provider" and row["output_tokens"] for row in answered))
hold("parrot has a pace", any(row["tps"] for row in by_model["gateway/parrot"]))
limited = by_model["gateway/limited"]
hold("limited failed with 429", all((row["outcome"], row["status_code"], row["error_type"]) == ("failed", 429, "rate_limit") for row in limited))
hold("a failure has no first token, no text and no cost", all(row["ttft_ms"] is row["response_text"] is row["cost_usd"] is None for row in limited))
hold("guesser has a cost", all(row["cost_usd"] > 0 for row in by_model["gateway/guesser"]))
hold("parrot's price is unknown: its cost is null, not 0", all(row["cost_usd"] is None for row in by_model["gateway/parrot"]))
hold("guesser was right now and then", any(row["correct"] for row in by_model["gateway/guesser"]))
hold("the answer is the only one that was ever right", answer["model"] == "gateway/guesser")
hold("it rests on real evidence", answer["source"] == "snapshot" and not answer["is_simulated"] and answer["evidence"]["n"] >= 20)
print(f"{len(rows)} rows: {dict(Counter(row['outcome'] for row in rows))}; the answer is {answer['model']}, score {answer['score']:.3f}")
PYTHON
