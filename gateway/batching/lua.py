"""The script that trades places at a model's replicas: everything in it happens at once."""

from __future__ import annotations

CHANNEL = "r1:places"
"""Where `* NAME` is sent when places are asked for, and `WORKER NAME` when some were given."""
_KEPT_S = 3600

# Fields of the hash: "e <worker>" end of its lease (ms), "q <worker>" since when (us) and for how
# many it waits, "s <worker>" what it says of itself, "w <url>" a window, "g <worker> <url>" places
# given. The list has what users saw, for the one worker that goes by it.
TRADE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local tick = string.format('%d', clock[1] * 1000000 + clock[2])
local me = ARGV[1]
local waiting = tonumber(ARGV[3])
local place = 9
local function word()
  place = place + 1
  return ARGV[place - 1]
end

local flat = redis.call('HGETALL', KEYS[1])
local ends, queued, states, windows, given = {}, {}, {}, {}, {}
for i = 1, #flat, 2 do
  local kind, rest, value = string.sub(flat[i], 1, 1), string.sub(flat[i], 3), flat[i + 1]
  if kind == 'e' then ends[rest] = tonumber(value)
  elseif kind == 'q' then queued[rest] = value
  elseif kind == 's' then states[rest] = value
  elseif kind == 'w' then windows[rest] = tonumber(value)
  elseif kind == 'g' then
    local worker, url = string.match(rest, '^(%S+) (.*)$')
    given[worker] = given[worker] or {}
    given[worker][url] = tonumber(value)
  end
end
ends[me] = now + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'e ' .. me, ends[me])
states[me] = ARGV[4]
redis.call('HSET', KEYS[1], 's ' .. me, ARGV[4])
for worker, over in pairs(ends) do
  if over <= now then
    redis.call('HDEL', KEYS[1], 'e ' .. worker, 'q ' .. worker, 's ' .. worker)
    for url, _ in pairs(given[worker] or {}) do
      redis.call('HDEL', KEYS[1], 'g ' .. worker .. ' ' .. url)
    end
    ends[worker], queued[worker], states[worker], given[worker] = nil, nil, nil, nil
  end
end

for i = 1, tonumber(ARGV[6]) do
  local url, window = word(), word()
  windows[url] = tonumber(window)
  redis.call('HSET', KEYS[1], 'w ' .. url, window)
end

local total = {}
for worker, places in pairs(given) do
  if worker ~= me then
    for url, count in pairs(places) do total[url] = (total[url] or 0) + count end
  end
end
local mine, wishes, urls = given[me] or {}, {}, {}
for i = 1, tonumber(word()) do
  local url, used, wish, first = word(), tonumber(word()), tonumber(word()), word()
  urls[i] = url
  if not windows[url] then
    windows[url] = tonumber(first)
    redis.call('HSET', KEYS[1], 'w ' .. url, first)
  end
  mine[url] = math.max(used, math.min(mine[url] or 0, wish))
  total[url] = (total[url] or 0) + mine[url]
  local over = total[url] - math.floor(windows[url])
  if over > 0 then
    -- The window shrank: what came free since is not for the next.
    local less = math.min(over, mine[url] - used)
    mine[url], total[url] = mine[url] - less, total[url] - less
  end
  wishes[url] = wish
end
for url, _ in pairs(mine) do
  if not wishes[url] then
    mine[url] = nil
    redis.call('HDEL', KEYS[1], 'g ' .. me .. ' ' .. url)
  end
end

if waiting > 0 then
  local since = queued[me] and string.match(queued[me], '^(%d+)') or tick
  queued[me] = since .. ' ' .. waiting
else
  queued[me] = nil
end
local line = {}
for worker, value in pairs(queued) do
  local since, count = string.match(value, '^(%d+) (%d+)$')
  line[#line + 1] = {worker, tonumber(since), tonumber(count)}
end
table.sort(line, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)

local woken = {}
for _, url in ipairs(urls) do
  local room = math.floor(windows[url]) - total[url]
  local handed = true
  while room > 0 and handed do
    handed = false
    for _, each in ipairs(line) do
      local able = each[3] > 0
      if each[1] == me then able = able and wishes[url] > mine[url] end
      if able and room > 0 then
        room, each[3], handed = room - 1, each[3] - 1, true
        total[url] = total[url] + 1
        if each[1] == me then
          mine[url] = mine[url] + 1
        else
          woken[each[1]] = true
          redis.call('HINCRBY', KEYS[1], 'g ' .. each[1] .. ' ' .. url, 1)
        end
      end
    end
  end
  local others = false
  for _, each in ipairs(line) do others = others or (each[1] ~= me and each[3] > 0) end
  if room > 0 and not others and wishes[url] > mine[url] then
    local more = math.min(room, wishes[url] - mine[url])
    mine[url], total[url] = mine[url] + more, total[url] + more
  end
  redis.call('HSET', KEYS[1], 'g ' .. me .. ' ' .. url, mine[url])
end

local others = 0
for _, each in ipairs(line) do
  if each[3] > 0 then
    -- Who was given a place goes to the end of the line.
    local since = woken[each[1]] and tick or string.format('%d', each[2])
    redis.call('HSET', KEYS[1], 'q ' .. each[1], since .. ' ' .. string.format('%d', each[3]))
    if each[1] ~= me then others = others + each[3] end
  else
    redis.call('HDEL', KEYS[1], 'q ' .. each[1])
  end
end
if not queued[me] then redis.call('HDEL', KEYS[1], 'q ' .. me) end
if waiting > 0 and ARGV[7] == '1' then
  redis.call('PUBLISH', 'CHANNEL', '* ' .. ARGV[8])
else
  for worker, _ in pairs(woken) do
    redis.call('PUBLISH', 'CHANNEL', worker .. ' ' .. ARGV[8])
  end
end
redis.call('EXPIRE', KEYS[1], KEPT)

local chief = me
for worker, _ in pairs(ends) do if worker < chief then chief = worker end end
if ARGV[5] ~= '' then
  redis.call('RPUSH', KEYS[2], ARGV[5])
  redis.call('LTRIM', KEYS[2], -1000, -1)
  redis.call('EXPIRE', KEYS[2], 60)
end
local told, reports = {}, {}
for worker, state in pairs(states) do
  if worker ~= me then told[#told + 1] = state end
end
if chief == me and ARGV[5] ~= '' then
  reports = redis.call('LRANGE', KEYS[2], 0, -1)
  redis.call('DEL', KEYS[2])
end
local places = {}
for i, url in ipairs(urls) do
  places[i] = {tostring(windows[url]), total[url], mine[url]}
end
return {places, chief == me and 1 or 0, others, told, reports}
""".replace("KEPT", str(_KEPT_S)).replace("CHANNEL", CHANNEL)
