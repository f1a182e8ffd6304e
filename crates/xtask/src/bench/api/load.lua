-- Load for redtrove-api: sends the requests of a file over and over, or each of them once, and prints one line of JSON
-- about how they were answered.
--
-- wrk … --script load.lua BASE -- FILE again|once
--
-- The file's first line is the token. Each further line is a request: its method, its path, perhaps its body.

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *now);
]]

local MONOTONIC = 1
local threads = {}
local requests, calls, each_once = {}, 0, false

local function now()
  local moment = ffi.new("moment")
  ffi.C.clock_gettime(MONOTONIC, moment)
  return tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  each_once = args[2] == "once"
  local lines = io.lines(args[1])
  wrk.headers["X-Auth-Token"] = lines()
  wrk.headers["Content-Type"] = "application/json"
  for line in lines do
    local method, path, body = line:match("^(%u+) (%S+) ?(.*)$")
    requests[#requests + 1] = wrk.format(method, path, nil, body ~= "" and body or nil)
  end
end

function request()
  calls = calls + 1
  -- The first call is wrk's own, which throws the request away.
  local number = calls - 1
  if number == 1 then
    began = now()
  end
  if each_once and number > #requests then
    ended = ended or now()
    wrk.thread:stop()
    -- wrk still sends this one, and does not wait for its answer.
    return wrk.format("GET", "/")
  end
  return requests[(math.max(number, 1) - 1) % #requests + 1]
end

function done(summary, latency)
  local seconds = summary.duration / 1e6
  local thread = threads[1]
  if thread:get("ended") then
    seconds = thread:get("ended") - thread:get("began")
  end
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "most_ms": %.3f, '
      .. '"refused": %d, "unanswered": %d}',
    summary.requests, seconds, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
