"""What happens to limits inside Redis. Each script happens at once, so nobody can slip between.

Time is Redis' own. A key's state lies in three hashes:

- `r1:window:<id>`: requests (`r<second>`) and tokens (`t<second>`) of each second, and their
  sums. A second counts until 61 s after its beginning, so no 60 seconds hold more than the limit.
- `r1:live:<id>`: a field for each request that runs and holds a place or part of a budget:
  when its lease ends, and how much money (10^-9 USD) and how many reasoning tokens it holds.
- `r1:spent:<id>`: what was spent, `usd:<month>`, `usd:<day>`, `reasoning:<month>`, ….

Usage is one hash a day, `r1:usage:<day>`, a field for each key, tenant, model and kind.
"""

from __future__ import annotations

_CLOCK = """
local time = redis.call('TIME')
local second = tonumber(time[1])
local now = second + tonumber(time[2]) / 1000000

local function text(number) return string.format('%.0f', number) end

-- The civil date of a day, counted from 1970: years begin in March, so that the leap day is last.
local function today()
  local days = math.floor(second / 86400) + 719468
  local era = math.floor(days / 146097)
  local rest = days - era * 146097
  local year = math.floor((rest - math.floor(rest / 1460) + math.floor(rest / 36524)
    - math.floor(rest / 146096)) / 365)
  local of_year = rest - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  local day = of_year - math.floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  year = year + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, day)
end
local day = today()
local month = string.sub(day, 1, 7)
"""

_WINDOW = """
-- Takes the seconds that are over out of a window: its sums of requests and tokens, the newest
-- second of each, and the oldest second that may hold something.
local function roll(window)
  local held = redis.call('HMGET', window, 'r', 't', 'newest-r', 'newest-t', 'oldest')
  local sums = {r = tonumber(held[1] or '0'), t = tonumber(held[2] or '0')}
  local newest = {r = tonumber(held[3] or '0'), t = tonumber(held[4] or '0')}
  local oldest = tonumber(held[5] or text(second))
  if oldest + 61 > second then return sums, newest, oldest end
  -- None is newer than the newest, however far the clock has gone on.
  for at = oldest, math.min(second - 61, math.max(newest.r, newest.t)) do
    for kind, sum in pairs(sums) do
      local field = kind .. text(at)
      sums[kind] = sum - tonumber(redis.call('HGET', window, field) or '0')
      redis.call('HDEL', window, field)
    end
  end
  for kind, sum in pairs(sums) do
    redis.call('HSET', window, kind, text(sum))
    if newest[kind] + 61 <= second then newest[kind] = 0 end
  end
  oldest = second - 60
  redis.call('HSET', window, 'oldest', text(oldest))
  return sums, newest, oldest
end

local function add(window, kind, at, amount)
  redis.call('HINCRBY', window, kind, text(amount))
  redis.call('HINCRBY', window, kind .. text(at), text(amount))
  if at == second then
    redis.call('HSET', window, 'newest-' .. kind, text(at))
    redis.call('HSETNX', window, 'oldest', text(at))
    redis.call('EXPIRE', window, 62)
  end
end
"""

RESERVE = (
    _CLOCK
    + _WINDOW
    + """
-- KEYS: window, live, spent. ARGV: reservation, lease in s, then limits (-1: none) and wishes:
-- rpm, tpm, tokens, parallel, usd a day, a month, usd wished, reasoning a day, a month, wished.
-- A refusal counts nothing. A wish larger than what is left of a budget takes what is left.
local limit = {}
for place = 3, 12 do limit[place - 2] = tonumber(ARGV[place]) end
local rpm, tpm, tokens, parallel = limit[1], limit[2], limit[3], limit[4]

local sums, newest, oldest = roll(KEYS[1])

local function reset(kind) return newest[kind] == 0 and 0 or newest[kind] + 61 - now end

local function answer(verdict, wait)
  return {verdict, text(second), text(sums.r), tostring(reset('r')), text(sums.t),
    tostring(reset('t')), tostring(wait), day}
end

-- How long until `wish` more fit under `most`: until enough of the oldest seconds are gone.
local function wait(kind, wish, most)
  local left = sums[kind]
  for at = oldest, second do
    left = left - tonumber(redis.call('HGET', KEYS[1], kind .. text(at)) or '0')
    if left + wish <= most then return at + 61 - now end
  end
  return 0
end

local budgets = {
  {name = 'usd_per_day', spent = 'usd:' .. day, most = limit[5], what = 1},
  {name = 'usd_per_month', spent = 'usd:' .. month, most = limit[6], what = 1},
  {name = 'reasoning_tokens_per_day', spent = 'reasoning:' .. day, most = limit[8], what = 2},
  {name = 'reasoning_tokens_per_month', spent = 'reasoning:' .. month, most = limit[9], what = 2},
}
local wished, budgeted = {0, 0}, false
for _, each in ipairs(budgets) do
  if each.most >= 0 then
    budgeted = true
    wished[each.what] = each.what == 1 and limit[7] or limit[10]
    each.left = each.most - tonumber(redis.call('HGET', KEYS[3], each.spent) or '0')
    if each.left <= 0 then return answer(each.name, 0) end
  end
end

if parallel >= 0 or budgeted then
  local flat, live, held = redis.call('HGETALL', KEYS[2]), 0, {0, 0}
  for place = 1, #flat, 2 do
    local ends, usd, reasoning = string.match(flat[place + 1], '(%S+) (%S+) (%S+)')
    if tonumber(ends) <= now then
      redis.call('HDEL', KEYS[2], flat[place])
    else
      live = live + 1
      held = {held[1] + tonumber(usd), held[2] + tonumber(reasoning)}
    end
  end
  if parallel >= 0 and live >= parallel then return answer('parallel', 1) end
  for _, each in ipairs(budgets) do
    if each.most >= 0 then
      local left = each.left - held[each.what]
      if left <= 0 then return answer('held', 2) end
      wished[each.what] = math.min(wished[each.what], left)
    end
  end
end

if rpm >= 0 and sums.r + 1 > rpm then return answer('requests', wait('r', 1, rpm)) end
if tpm >= 0 and sums.t + tokens > tpm then return answer('tokens', wait('t', tokens, tpm)) end

local function count(kind, amount)
  add(KEYS[1], kind, second, amount)
  sums[kind] = sums[kind] + amount
  newest[kind] = second
end
if rpm >= 0 then count('r', 1) end
if tpm >= 0 then count('t', tokens) end
if parallel >= 0 or budgeted then
  local ends = string.format('%.3f', now + tonumber(ARGV[2]))
  redis.call('HSET', KEYS[2], ARGV[1], ends .. ' ' .. text(wished[1]) .. ' ' .. text(wished[2]))
  redis.call('EXPIRE', KEYS[2], math.ceil(tonumber(ARGV[2])) + 1)
end
return answer('ok', 0)
"""
)

SETTLE = (
    _CLOCK
    + _WINDOW
    + """
-- KEYS: the worker's mark, times of last use, tenants by use, what all names begin with. ARGV:
-- number of this batch, days that usage is kept, tenants that have a label of their own, the
-- settlements as JSON.
-- A batch that was taken already is left alone: its sender did not hear the answer.
local function ranks(list)
  local top = {}
  for place, each in ipairs(list) do
    local rank = redis.call('ZREVRANK', KEYS[3], each.tenant)
    top[place] = (rank and rank < tonumber(ARGV[3])) and 1 or 0
  end
  return top
end
local list, r1 = cjson.decode(ARGV[4]), KEYS[4]
local kinds = {'requests', 'cached', 'hit', 'miss', 'completion', 'reasoning', 'usd'}
local taken = tonumber(redis.call('HGET', KEYS[1], 'batch') or '0')
if taken >= tonumber(ARGV[1]) then return ranks(list) end
redis.call('HSET', KEYS[1], 'batch', ARGV[1])
redis.call('EXPIRE', KEYS[1], 86400)

local function spend(key, name, amount)
  for _, period in ipairs({month, day}) do
    local spent = redis.call('HINCRBY', key, name .. period, text(amount))
    if spent == amount then
      -- The first of a new day: forget the months before this one.
      for _, field in ipairs(redis.call('HKEYS', key)) do
        if not string.find(field, month, 1, true) then redis.call('HDEL', key, field) end
      end
    end
  end
end

for _, each in ipairs(list) do
  if each.reservation ~= '' then redis.call('HDEL', r1 .. 'live:' .. each.key, each.reservation) end
  if each.counted then
    local window, used = r1 .. 'window:' .. each.key, each.hit + each.miss + each.completion
    roll(window)
    local reserved = tonumber(redis.call('HGET', window, 't' .. text(each.second)) or '0')
    local change = used - each.tokens
    if change > 0 then
      add(window, 't', second, change)
    elseif change < 0 and reserved + change >= 0 then
      add(window, 't', each.second, change)
    end
  end
  if each.budgeted then
    if each.usd > 0 then spend(r1 .. 'spent:' .. each.key, 'usd:', each.usd) end
    if each.reasoning > 0 then spend(r1 .. 'spent:' .. each.key, 'reasoning:', each.reasoning) end
  end
  if each.requests > 0 or each.completion > 0 then
    local usage = r1 .. 'usage:' .. day
    local row = each.key .. '\\t' .. each.tenant .. '\\t' .. each.model
    for _, kind in ipairs(kinds) do
      if each[kind] > 0 then
        redis.call('HINCRBY', usage, row .. '\\t' .. kind, text(each[kind]))
      end
    end
    redis.call('EXPIRE', usage, tonumber(ARGV[2]) * 86400)
    redis.call('HSET', KEYS[2], each.key, text(second))
    local tokens = each.hit + each.miss + each.completion
    redis.call('ZINCRBY', KEYS[3], text(tokens), each.tenant)
  end
end
return ranks(list)
"""
)

RENEW = (
    _CLOCK
    + """
-- KEYS: live hashes. ARGV: lease in s, then the reservation in each. One that is gone stays gone.
for place, live in ipairs(KEYS) do
  local held = redis.call('HGET', live, ARGV[place + 1])
  if held then
    local ends = string.format('%.3f', now + tonumber(ARGV[1]))
    redis.call('HSET', live, ARGV[place + 1], ends .. ' ' .. string.match(held, '%S+ (.+)'))
    redis.call('EXPIRE', live, math.ceil(tonumber(ARGV[1])) + 1)
  end
end
return day
"""
)

SPENT = (
    _CLOCK
    + """
-- KEYS: hashes of what was spent. For each: usd of the day, of the month, reasoning tokens of both.
local all = {}
for place, key in ipairs(KEYS) do
  all[place] = redis.call('HMGET', key, 'usd:' .. day, 'usd:' .. month, 'reasoning:' .. day,
    'reasoning:' .. month)
end
return all
"""
)
