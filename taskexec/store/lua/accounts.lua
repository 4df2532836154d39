-- What workers have left, who holds what of it, and who pays for it. Not a script by itself: see prelude.lua. Amounts are
-- whole numbers, in the order of `domain/fit.py`.
--
-- tek:joined zset worker -> order · tek:traits, tek:total, tek:free hashes worker -> ` trait trait ` and vectors ·
-- tek:holds:<worker> hash hold -> `vector|share|behind|until|members|run|payers` · tek:earmarks hash worker ->
-- `run:index|vector` · tek:used hash `r:run u:user t:tag` -> share · tek:sum total of the cluster, and since when ·
-- tek:slot hash worker -> vector of what takes a slot.
-- A hold is `run:index:attempt:rank` for what was placed, until it is claimed: then, and for what takes a slot, it is the
-- token of the delivery.

local CPUS, MEMORY, DISK, SLOTS, GPUS, WHOLE = 1, 2, 3, 4, 5, 1000
local AWAY_S = 86400      -- so long what deliveries hold of a worker that is away is remembered
local UNKNOWN = {0, 0, 0, 0}  -- what a slot takes of a worker that is away: it is known when that one comes

-- The numbers of a text; lists are shared by all who read the same text, and are not to be changed.
local lists = cache_of(MANY)
local function numbers(list)
  local found = lists.kept[list]
  if found then return found end
  found = {}
  for number in string.gmatch(list, '%-?%d+') do found[#found + 1] = tonumber(number) end
  return remember(lists, list, found)
end

local function key_of(run, name) return keys_of('tek:{' .. run .. '}')[name] end

-- Fields of the meta hash of any run, read and written.
local function meta_of(run, name)
  if run == meta('run') then return meta(name) end
  return redis.call('HGET', key_of(run, 'meta'), name)
end

local function put_meta_of(run, ...)
  if run == meta('run') then return put_meta(...) end
  redis.call('HSET', key_of(run, 'meta'), ...)
end

local function vector_of(name, worker)
  local found = redis.call('HGET', name, worker)
  return found and numbers(found)
end

local function moved(vector, by, sign)
  local result = {}
  for at, amount in ipairs(vector) do result[at] = amount + sign * (by[at] or 0) end
  return result
end

local function within(part, limit)
  for at, amount in ipairs(part) do
    if amount > limit[at] then return false end
  end
  return true
end

-- The largest part of the cluster that an amount takes, in millionths: cores, memory or GPUs.
local function share_of(vector, sum)
  local gpus, most = 0, 0
  for at = GPUS, #vector, 2 do gpus = gpus + vector[at] end
  for at, amount in ipairs({vector[CPUS], vector[MEMORY], gpus}) do
    if amount > 0 and sum[at] > 0 then most = math.max(most, math.floor(amount * 1000000 / sum[at])) end
  end
  return most
end

-- Counts a share towards a run, its user and its tag; kept under all three together, which is one call.
local function pay(payers, share)
  if share == 0 then return end
  if redis.call('HINCRBY', 'tek:used', payers, text(share)) <= 0 then redis.call('HDEL', 'tek:used', payers) end
end

local function parse_hold(found)
  local vector, share, behind, ends, members, run, payers = string.match(found,
    '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$')
  return {vector = numbers(vector), share = tonumber(share), behind = behind, ends = ends, members = members, run = run,
    payers = payers}
end

local function hold_text(hold)
  return table.concat({table.concat(hold.vector, ' '), text(hold.share), hold.behind, hold.ends, hold.members, hold.run,
    hold.payers}, '|')
end

local function put_hold(worker, name, hold, free)
  local left = moved(free, hold.vector, -1)
  redis.call('HSET', 'tek:free', worker, table.concat(left, ' '))
  redis.call('HSET', 'tek:holds:' .. worker, name, hold_text(hold))
  pay(hold.payers, hold.share)
end

-- Gives back what a worker held: exactly once, since the hold goes with it. Of a delivery that took a slot for several
-- members (`index:attempt`), the last one gives it back.
local function give_back(worker, name, members)
  local found = redis.call('HGET', 'tek:holds:' .. worker, name)
  if not found then return end
  local hold = parse_hold(found)
  if members then
    local over, rest = {}, {}
    for _, member in ipairs(members) do over[member] = true end
    for member in string.gmatch(hold.members, '[^,]+') do
      if not over[member] then rest[#rest + 1] = member end
    end
    if #rest > 0 then
      hold.members = ',' .. table.concat(rest, ',') .. ','
      redis.call('HSET', 'tek:holds:' .. worker, name, hold_text(hold))
      return
    end
  end
  redis.call('HDEL', 'tek:holds:' .. worker, name)
  pay(hold.payers, -hold.share)
  local left = vector_of('tek:free', worker)
  if not left then return end
  redis.call('HSET', 'tek:free', worker, table.concat(moved(left, hold.vector, 1), ' '))
  roomy[worker], is_news = true, true
end

-- What finished, lost or given back attempts of this run held on a worker: a list of {index, attempt, token}. What was
-- claimed is held by the token of its delivery.
local function give_back_attempts(worker, attempts)
  local held, order = {}, {}
  for _, item in ipairs(attempts) do
    local token = item[3]
    if not held[token] then
      held[token] = {}
      order[#order + 1] = token
    end
    local members = held[token]
    members[#members + 1] = item[1] .. ':' .. item[2]
  end
  for _, token in ipairs(order) do give_back(worker, token, held[token]) end
end

-- Owner and vector of what a worker is kept for, or nil.
local function earmark_of(worker)
  local found = redis.call('HGET', 'tek:earmarks', worker)
  if not found then return nil end
  local owner, vector = string.match(found, '^(.-)|(.*)$')
  return owner, numbers(vector)
end

-- What may be taken of a worker that is kept for somebody: what that one will leave, without what others got meanwhile.
local function spare_of(worker, total, owner, vector)
  local left = moved(total, vector, -1)
  for _, found in ipairs(redis.call('HVALS', 'tek:holds:' .. worker)) do
    local hold = parse_hold(found)
    if hold.behind == owner then left = moved(left, hold.vector, -1) end
  end
  return left
end

local function slot_debit(total)
  local taken = {}
  for at = 1, #total do taken[at] = 0 end
  taken[CPUS] = math.min(WHOLE, math.floor(total[CPUS] / math.max(total[SLOTS], 1)))
  taken[SLOTS] = 1
  return taken
end

-- Notes what the cluster has in all, and what a slot of each worker takes (empty when it takes nothing new). The time
-- beside it tells one state of the workers from all others: see `load_fleet`.
local function sum_up()
  local cpus, memory, gpus = 0, 0, 0
  local all = redis.call('HGETALL', 'tek:total')
  for at = 1, #all, 2 do
    local vector = numbers(all[at + 1])
    cpus, memory = cpus + vector[CPUS], memory + vector[MEMORY]
    for gpu = GPUS, #vector, 2 do gpus = gpus + vector[gpu] end
    local is_ready = string.find(redis.call('HGET', 'tek:traits', all[at]), ' s:ready ', 1, true)
    redis.call('HSET', 'tek:slot', all[at], is_ready and table.concat(slot_debit(vector), ' ') or '')
  end
  redis.call('SET', 'tek:sum', table.concat({cpus, memory, gpus, stamp}, ' '))
end

-- Takes a slot of a worker for the members of a delivery; returns false when it has none for them now. Of a worker that
-- is away it takes nothing yet: `recall` does when it joins. Slots count towards nobody's share: their tasks are not
-- placed in the order of shares.
local function take_slot(worker, token, members)
  local slot = redis.call('HGET', 'tek:slot', worker)
  local names = {}
  for at, member in ipairs(members) do names[at] = member[1] .. ':' .. member[2] end
  names = ',' .. table.concat(names, ',') .. ','
  local holds = 'tek:holds:' .. worker
  if not slot then
    redis.call('HSETNX', holds, token, hold_text({vector = UNKNOWN, share = 0, behind = '', ends = '0', run = meta('run'),
      payers = '', members = names}))
    redis.call('EXPIRE', holds, AWAY_S)
    return true
  end
  local taken, behind, free = numbers(slot), '', vector_of('tek:free', worker)
  local has_room = slot ~= '' and within(taken, free)
  local is_wanted = has_room and redis.call('EXISTS', 'tek:wanting') == 1
  if is_wanted then
    local owner, vector = earmark_of(worker)
    if owner then
      behind = owner
      has_room = within(taken, spare_of(worker, vector_of('tek:total', worker), owner, vector))
    end
  end
  if not has_room then return redis.call('HEXISTS', holds, token) == 1 end
  local hold = hold_text({vector = taken, share = 0, behind = behind, ends = '0', run = meta('run'), payers = '',
    members = names})
  if redis.call('HSETNX', holds, token, hold) == 0 then return true end
  redis.call('HSET', 'tek:free', worker, table.concat(moved(free, taken, -1), ' '))
  if is_wanted then redis.call('INCRBY', 'tek:started', #members) end
  return true
end

-- What deliveries go on without their worker, which has lapsed, they hold still, but nobody pays for it: it may come back.
-- What was placed there and has not begun is placed elsewhere.
local function forget(worker)
  local holds = redis.call('HGETALL', 'tek:holds:' .. worker)
  redis.call('DEL', 'tek:holds:' .. worker)
  for at = 1, #holds, 2 do
    local hold = parse_hold(holds[at + 1])
    pay(hold.payers, -hold.share)
    hold.share, hold.behind = 0, ''
    if string.sub(holds[at], 1, #worker + 1) == worker .. '/' then
      redis.call('HSET', 'tek:holds:' .. worker, holds[at], hold_text(hold))
      redis.call('EXPIRE', 'tek:holds:' .. worker, AWAY_S)
    end
  end
end

-- Returns what a worker that joins has left: its whole without what its deliveries hold, also those that began while it
-- was away. From now on that counts and is paid for again.
local function recall(worker, total, was_away)
  local left, holds = total, redis.call('HGETALL', 'tek:holds:' .. worker)
  if was_away then redis.call('DEL', 'tek:holds:' .. worker) end  -- what is written anew lasts
  for at = 1, #holds, 2 do
    local hold = parse_hold(holds[at + 1])
    if was_away then
      if hold.vector[SLOTS] == 0 then hold.vector = slot_debit(total) end
      if hold.payers ~= '' then hold.share = share_of(hold.vector, numbers(redis.call('GET', 'tek:sum'))) end
      pay(hold.payers, hold.share)
      redis.call('HSET', 'tek:holds:' .. worker, holds[at], hold_text(hold))
    end
    left = moved(left, hold.vector, -1)
  end
  return left
end

-- Wakes the slots of a worker that found no room.
local function wake()
  for worker in pairs(roomy) do
    local count = tonumber(redis.call('HGET', 'tek:waiters', worker) or '0')
    if count > 0 then
      redis.call('HDEL', 'tek:waiters', worker)
      for _ = 1, count do redis.call('LPUSH', 'tek:wake:' .. worker, '1') end
      redis.call('EXPIRE', 'tek:wake:' .. worker, 5)
    end
  end
end
