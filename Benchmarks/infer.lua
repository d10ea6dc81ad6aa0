-- A load for wrk: posts one body over and over, and prints what came of it as one line of JSON.
-- wrk … -s infer.lua URL -- BODY_FILE; the key, where there is one, comes in BENCH_KEY.

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    wrk.body = file:read("*a")
    file:close()
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    local key = os.getenv("BENCH_KEY")
    if key and key ~= "" then wrk.headers["Authorization"] = "Bearer " .. key end
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '{"requests_per_second": %.1f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d}\n',
        summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
