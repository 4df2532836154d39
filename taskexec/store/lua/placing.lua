-- Where tasks go that ask for more than a slot: the rounds of `domain/placing.py`, which says why. Not a script by itself:
-- see prelude.lua. tek:wanting zset run -> since when.

local WINDOW, WIDEST, WIDE, PATIENCE_US, OVERTAKES = 40, 8, 1500, 2000000, 64
local FIRST, GROWTH, ROUND, LOOKS = 2, 4, 256, 8
local NONE = {}           -- never changed

-- Workers in the order in which they joined, with what changes only when they come, go or change: kept from call to call
-- for as long as `tek:sum` stays what it was, if it tells since when.
local fleet = {}
local function load_fleet(sum)
  if sum and fleet.sum == sum and numbers(sum)[4] then return fleet end
  local order = redis.call('ZRANGE', 'tek:joined', 0, -1)
  local read, totals = {sum = sum, order = order, ready = {}, total = {}, traits = {}}, fetch('tek:total', order)
  for at, traits in ipairs(fetch('tek:traits', order)) do
    local worker = order[at]
    read.traits[worker], read.total[worker] = traits, numbers(totals[at])
    if string.find(traits, ' s:ready ', 1, true) then read.ready[#read.ready + 1] = worker end
  end
  fleet = read  -- as a whole, or not at all
  return fleet
end

-- What workers have; `open` are those that could take something, `most_cpus` the largest part of one that is free. What
-- full ones have is read when it is asked for.
local function load_cluster()
  local sum, starving, started = unpack(redis.call('MGET', 'tek:sum', 'tek:starving', 'tek:started'))
  local kept = load_fleet(sum)
  local cluster = {order = kept.order, total = kept.total, traits = kept.traits, sum = numbers(sum or '0 0 0'),
    open = {}, owner = {}, owners = {}, kept = {}, spare = {}, cap = {}, starving = starving or '', started = 0,
    most_cpus = 0, started_before = tonumber(started or '0')}
  local texts = {}
  cluster.free = setmetatable({}, {__index = function(free, worker)
    free[worker] = texts[worker] and numbers(texts[worker]) or vector_of('tek:free', worker)
    return free[worker]
  end})
  for at, left in ipairs(fetch('tek:free', kept.ready)) do
    local worker, cpus, slots = kept.ready[at], string.match(left, '^(%S+) %S+ %S+ (%S+)')
    texts[worker] = left
    if tonumber(slots) >= 1 then
      cluster.open[#cluster.open + 1] = worker
      cluster.most_cpus = math.max(cluster.most_cpus, tonumber(cpus))
    end
  end
  return cluster
end

local function close_full(cluster)
  local open, most = {}, 0
  for _, worker in ipairs(cluster.open) do
    local free = cluster.free[worker]
    if free[SLOTS] >= 1 then
      open[#open + 1] = worker
      if free[CPUS] > most then most = free[CPUS] end
    end
  end
  cluster.open, cluster.most_cpus = open, most
end

-- Whether a task still waits to be placed. `owner` is `run:index`.
local function still_wants(owner)
  local run, index = string.match(owner, '^(.*):(%d+)$')
  return redis.call('ZSCORE', key_of(run, 'wanting'), index)
end

-- Notes that a worker is kept for a task, which will take so much of it.
local function keep(cluster, worker, owner, vector)
  cluster.owner[worker], cluster.kept[worker], cluster.owners[owner] = owner, vector, true
end

-- Whoever has lost one of the workers that are kept for it has them chosen anew.
local function load_earmarks(cluster)
  local all, broken = redis.call('HGETALL', 'tek:earmarks'), {}
  for at = 1, #all, 2 do
    local owner, traits = string.match(all[at + 1], '^(.-)|'), cluster.traits[all[at]]
    if not traits or not string.find(traits, ' s:ready ', 1, true) or not still_wants(owner) then broken[owner] = true end
  end
  for at = 1, #all, 2 do
    local owner, vector = string.match(all[at + 1], '^(.-)|(.*)$')
    if broken[owner] then
      redis.call('HDEL', 'tek:earmarks', all[at])
    else
      keep(cluster, all[at], owner, numbers(vector))
    end
  end
end

-- What others than its owner may take of a worker that is kept for somebody, read when it is asked for; else nil.
local function spare_at(cluster, worker)
  local owner = cluster.owner[worker]
  if owner and not cluster.spare[worker] then
    cluster.spare[worker] = spare_of(worker, cluster.total[worker], owner, cluster.kept[worker])
  end
  return owner and cluster.spare[worker]
end

-- Tasks without needs must not starve either: where one waits too long for a slot, which is looked for in thorough rounds,
-- one is not given away.
local function leave_a_slot(cluster)
  if is_thorough then
    local active, starving = redis.call('SMEMBERS', 'tek:active'), {}
    for _, route in ipairs(ROUTES) do
      local is_starving = false
      for at = 1, math.min(#active, WINDOW) do
        local oldest = redis.call('ZRANGE', key_of(active[at], 'queued:' .. route), 0, 0, 'WITHSCORES')[2]
        if oldest and now - tonumber(oldest) > PATIENCE_US then is_starving = true end
      end
      if is_starving then starving[#starving + 1] = route end
    end
    cluster.starving = table.concat(starving, ' ')
    redis.call('SET', 'tek:starving', cluster.starving)
  end
  for route in string.gmatch(cluster.starving, '%a+') do
    for _, worker in ipairs(cluster.open) do
      local traits, slot, spare = cluster.traits[worker], slot_debit(cluster.total[worker]), spare_at(cluster, worker)
      if not cluster.cap[worker] and string.find(traits, ' r:' .. route .. ' ', 1, true)
          and within(slot, cluster.free[worker]) and not (spare and not within(slot, spare)) then
        cluster.cap[worker] = moved(cluster.free[worker], slot, -1)
        break
      end
    end
  end
end

-- Whether a task of a kind, those that ask for the same, is worth a look: whether some worker may have room for a rank of
-- it, without what limits that one.
local function may_fit(text, cluster, hopeless)
  if hopeless[text] then return false end
  for _, option in ipairs(parse_ask(text, '1').options) do
    for _, worker in ipairs(option[1] <= cluster.most_cpus and cluster.open or NONE) do
      if fits(option, cluster.free[worker], cluster.total[worker]) and suits(option, cluster.traits[worker]) then
        return true
      end
    end
  end
  hopeless[text] = true
  return false
end

-- What tasks at the head of a run ask for, each read once.
local function asks_of(run, indexes)
  local known, asks, missing = run.kept.asks, {}, {}
  for at, index in ipairs(indexes) do
    asks[at] = known[index]
    if not asks[at] then missing[#missing + 1] = index end
  end
  if #missing == 0 then return asks end
  for at, ask in ipairs(fetch(run.keys.ask, missing)) do known[missing[at]] = ask end
  for at, index in ipairs(indexes) do asks[at] = known[index] end
  return asks
end

local function candidate_of(run, index, ask)
  return {run = run.run, keys = run.keys, index = index, owner = run.run .. ':' .. index, text = ask,
    ask = parse_ask(ask, '1')}
end

-- Reads what else is to be known of a candidate: most need not be looked at, since their like does not fit.
local function complete_candidate(candidate, wanted)
  if candidate.since then return end
  wanted = wanted or redis.call('HGET', candidate.keys.wanted, candidate.index)
  local since, started, ratio = string.match(wanted, '^(%S+) (%S+) (%S+)$')
  candidate.since, candidate.started = tonumber(since), tonumber(started)
  candidate.has_more = ratio ~= '1'
  if candidate.has_more then candidate.ask = parse_ask(candidate.text, ratio) end
end

-- The next candidate of a run in its order, or nil; a few are read at a time, and those whose like does not fit are
-- passed over, like those for which workers are kept.
local function head_of(run, cluster, hopeless)
  while not run.head do
    local asks = run.asks
    for at = run.at, #asks do
      local ask = asks[at]
      if ask and not hopeless[ask] and may_fit(ask, cluster, hopeless) then
        local candidate = candidate_of(run, run.indexes[at], ask)
        if not cluster.owners[candidate.owner] then
          run.head, run.at = candidate, at
          return candidate
        end
      end
    end
    local left = WINDOW - WIDEST - run.skipped  -- what was placed does not count
    if left <= 0 or run.is_read then
      run.at = #asks + 1
      return nil
    end
    local chunk = math.min(run.chunk, left)
    run.chunk = run.chunk * GROWTH
    run.indexes = redis.call('ZRANGE', run.keys.wanting, run.skipped, run.skipped + chunk - 1)
    run.asks, run.at = asks_of(run, run.indexes), 1
    run.is_read = #run.indexes < chunk
    run.skipped = run.skipped + #run.indexes  -- those of them that are placed are taken off again
  end
  return run.head
end

-- What never changes in the life of a run, kept from call to call: rounds look at the same runs and tasks again and again.
-- Lives differ in when they started.
local runs_kept = cache_of(KEPT)
local function kept_of(run)
  local kept, started = runs_kept.kept[run], meta_of(run, 'started_us')
  if kept and started and kept.started == started then return kept end
  local keys = keys_of('tek:{' .. run .. '}')
  local payers, weight, template = unpack(redis.call('HMGET', keys.meta, 'payers', 'weight', 'template'))
  return remember(runs_kept, run, {keys = keys, asks = {}, payers = 'r:' .. run .. (payers and ' ' .. payers or ''),
    weight = tonumber(weight or '1'), template = template, started = started})
end

local function weight_of(payer) return tonumber(redis.call('HGET', 'tek:weights', payer) or '1') end

local function load_runs(names)
  local runs, shares, used = {}, {}, {}
  local all = #names > 1 and redis.call('HGETALL', 'tek:used') or {}
  for at = 1, #all, 2 do
    for payer in string.gmatch(all[at], '%S+') do shares[payer] = (shares[payer] or 0) + tonumber(all[at + 1]) end
  end
  local function spent(payer)
    if not used[payer] then used[payer] = {share = shares[payer] or 0, weight = weight_of(payer)} end
    return used[payer]
  end
  for at, run in ipairs(names) do
    local kept, accounts = kept_of(run), {}
    if #names > 1 then
      for payer in string.gmatch(kept.payers, '%S+') do accounts[#accounts + 1] = spent(payer) end
      accounts[1].weight = kept.weight
    end
    runs[at] = {run = run, kept = kept, keys = kept.keys, accounts = accounts, indexes = {}, asks = {}, at = 1,
      skipped = 0, chunk = FIRST, started = 0}
  end
  return runs
end

-- Whether the next candidate of one run comes before that of another.
local function comes_before(one, other)
  local a, b = one.head.ask, other.head.ask
  if a.priority ~= b.priority then return a.priority > b.priority end
  for at = 2, math.max(#one.accounts, #other.accounts) + 1 do
    local place = at <= math.max(#one.accounts, #other.accounts) and at or 1  -- user, tag, then the run itself
    local mine, theirs = one.accounts[place], other.accounts[place]
    local spent = mine and mine.share / mine.weight or 0
    local spent_there = theirs and theirs.share / theirs.weight or 0
    if spent ~= spent_there then return spent < spent_there end
  end
  return a.deadline < b.deadline
end

-- Workers that hold what a candidate reads, looked up when it is asked for one.
local function nearby(run, candidate)
  if run.has_where == nil then run.has_where = meta_of(run.run, 'has_where') end
  if not run.has_where then return NONE end
  return setmetatable({}, {__index = function(near, worker)
    setmetatable(near, nil)
    local before, spec = {}, redis.call('HGET', candidate.keys.spec, candidate.index) or '\n'
    for index in string.gmatch(string.sub(spec, 1, string.find(spec, '\n', 1, true)), '%d+') do
      before[#before + 1] = index
      if #before == WIDEST then break end
    end
    for _, other in ipairs(fetch(candidate.keys.where, before)) do
      if other then near[other] = true end
    end
    return near[worker]
  end})
end

-- What a candidate may take of workers of which not all that is free may be taken.
local function spare_for(cluster, candidate)
  if next(cluster.owner) == nil and next(cluster.cap) == nil then return NONE end
  return setmetatable({}, {__index = function(_, worker)
    local cap = cluster.cap[worker]
    local spare = cluster.owner[worker] ~= candidate.owner and spare_at(cluster, worker)
    if not spare or not cap then return spare or cap end
    local least = {}
    for at, amount in ipairs(spare) do least[at] = math.min(amount, cap[at]) end
    return least
  end})
end

-- Takes what was chosen for a candidate, and sends its messages to the workers.
local function take(cluster, run, candidate, number, found, notes)
  local workers, spots, total = {}, {}, 0
  candidate.attempt = string.sub(redis.call('HGET', candidate.keys.state, candidate.index), 2)
  for rank, chosen in ipairs(found) do
    local worker, gpus, taken = chosen[1], chosen[2], chosen[3]
    local behind = cluster.owner[worker]
    behind = behind and behind ~= candidate.owner and behind or ''
    local share = share_of(taken, cluster.sum)
    local ends = candidate.ask.duration > 0 and text(now + candidate.ask.duration) or '0'
    put_hold(worker, candidate.owner .. ':' .. candidate.attempt .. ':' .. (rank - 1), {vector = taken, share = share,
      behind = behind, ends = ends, members = '', run = candidate.run, payers = run.kept.payers}, cluster.free[worker])
    cluster.free[worker] = moved(cluster.free[worker], taken, -1)
    if cluster.spare[worker] and cluster.owner[worker] ~= candidate.owner then
      cluster.spare[worker] = moved(cluster.spare[worker], taken, -1)
    end
    if cluster.cap[worker] then cluster.cap[worker] = moved(cluster.cap[worker], taken, -1) end
    total = total + share
    workers[rank] = worker
    spots[rank] = worker .. ':' .. table.concat(gpus, ',')
  end
  close_full(cluster)
  for _, account in ipairs(run.accounts) do account.share = account.share + total end
  local index, attempt = candidate.index, candidate.attempt
  redis.call('HSET', candidate.keys.state, index, 'Q' .. attempt)
  redis.call('ZADD', candidate.keys.assigned, stamp, index)
  local option = candidate.ask.options[number + 1]
  redis.call('HSET', candidate.keys.placed, index, attempt .. ' ' .. table.concat(option, ' ') .. '|'
    .. table.concat(spots, '|'))
  redis.call('ZREM', candidate.keys.wanting, index)
  if size_of(candidate.ask) > WIDE then redis.call('ZREM', candidate.keys.wide, index) end
  redis.call('HDEL', candidate.keys.wanted, index)
  run.kept.asks[index] = nil
  cluster.started, run.started = cluster.started + 1, run.started + 1
  if #workers > 1 then put_meta_of(candidate.run, 'has_gangs', '1') end
  local note = '{"on":' .. cjson.encode(workers) .. ',"waited_us":' .. text(now - candidate.since)
    .. ',"after":"' .. cause .. '"}'
  notes[#notes + 1] = {candidate.run, 'Q ' .. index .. ' ' .. attempt .. ' ' .. note}
  local record = parse(redis.call('HGET', candidate.keys.task, index))
  for rank, worker in ipairs(workers) do
    record.list = 'tek.' .. worker
    publish({{index, attempt}}, record, {run = candidate.run, template = run.kept.template}, rank - 1)
  end
end

-- Whether another worker may be kept for somebody: no more than half of them are, but for one task.
local function may_be_kept(cluster)
  local count = 0
  for _ in pairs(cluster.owner) do count = count + 1 end
  return count == 0 or 2 * count < #cluster.order
end

-- Keeps workers for a task that has waited too long: those where the least is missing, each for one task only.
local function earmark(cluster, candidate)
  if not may_be_kept(cluster) then return end
  local whole, spare = {}, {}
  for _, worker in ipairs(cluster.order) do
    whole[worker] = cluster.total[worker]
    if cluster.owner[worker] == candidate.owner then return end
    if cluster.owner[worker] then
      spare[worker] = moved(cluster.total[worker], cluster.total[worker], -1)
    end
  end
  local best, least
  if candidate.ask.ranks == 1 then
    for _, worker in ipairs(cluster.order) do
      for _, option in ipairs(candidate.ask.options) do
        local chosen = choose(option, {worker}, cluster, whole, {}, spare)
        if chosen then
          local missing = 0
          for at, amount in ipairs(chosen[3]) do
            local lacks = math.max(amount - cluster.free[worker][at], 0)
            missing = missing + math.floor(lacks * 1000 / math.max(cluster.total[worker][at], 1))
          end
          if not best or missing < least then best, least = {chosen}, missing end
        end
      end
    end
  else
    local emptied = setmetatable({open = cluster.order}, {__index = cluster})
    best = select(2, choose_all(candidate.ask, emptied, whole, {}, spare))
  end
  local sums = {}
  for _, chosen in ipairs(best or {}) do
    sums[chosen[1]] = sums[chosen[1]] and moved(sums[chosen[1]], chosen[3], 1) or chosen[3]
  end
  for worker, vector in pairs(sums) do
    redis.call('HSET', 'tek:earmarks', worker, candidate.owner .. '|' .. table.concat(vector, ' '))
    keep(cluster, worker, candidate.owner, vector)
  end
end

-- Tries to place a candidate; returns whether it was, and else notes that its like does not fit. One for which workers
-- are kept is tried at the beginning of a round only, and says nothing of its like.
local function try(cluster, run, candidate, hopeless, notes)
  local near, spare, asked = nearby(run, candidate), spare_for(cluster, candidate), candidate.ask
  local number, found = choose_all(asked, cluster, cluster.free, near, spare)
  if not found then
    if hopeless then hopeless[candidate.text] = true end  -- what asks for more memory by now fits less still
    return false
  end
  complete_candidate(candidate)
  if candidate.ask ~= asked then
    number, found = choose_all(candidate.ask, cluster, cluster.free, near, spare)
    if not found then return false end
  end
  take(cluster, run, candidate, number, found, notes)
  return true
end

-- Those for which workers are kept come first.
local function try_owners(cluster, runs, hopeless, notes)
  local owners, by_name = {}, {}
  for owner in pairs(cluster.owners) do owners[#owners + 1] = owner end
  if #owners == 0 then return end
  table.sort(owners)
  for _, run in ipairs(runs) do by_name[run.run] = run end
  for _, owner in ipairs(owners) do
    local run, index = string.match(owner, '^(.*):(%d+)$')
    local owned = by_name[run]
    local ask = #cluster.open > 0 and owned and redis.call('HGET', owned.keys.ask, index)
    if ask and may_fit(ask, cluster, hopeless) and try(cluster, owned, candidate_of(owned, index, ask), nil, notes) then
      cluster.owners[owner] = nil
      for worker, other in pairs(cluster.owner) do
        if other == owner then
          redis.call('HDEL', 'tek:earmarks', worker)
          cluster.owner[worker], cluster.spare[worker] = nil, nil
        end
      end
    end
  end
end

-- The widest tasks get a try wherever they stand; those that have waited long have workers kept for them, if wanted.
local function see_to_the_widest(cluster, runs, started, hopeless, notes, may_keep)
  local waiting = {}
  may_keep = may_keep and may_be_kept(cluster)
  if not may_keep and #cluster.open == 0 then return end
  for _, run in ipairs(runs) do
    local indexes = redis.call('ZRANGE', run.keys.wide, 0, WIDEST - 1)
    local asks = asks_of(run, indexes)
    local wanted = may_keep and fetch(run.keys.wanted, indexes)
    for at, index in ipairs(indexes) do
      local is_worth_it = #cluster.open > 0 and may_fit(asks[at], cluster, hopeless)
      local candidate = (is_worth_it or may_keep) and candidate_of(run, index, asks[at])
      if candidate and not cluster.owners[candidate.owner]
          and not (is_worth_it and try(cluster, run, candidate, hopeless, notes)) and may_keep then
        complete_candidate(candidate, wanted[at])
        if now - candidate.since > PATIENCE_US or started - candidate.started >= OVERTAKES then
          waiting[#waiting + 1] = {#waiting, size_of(candidate.ask), candidate}
        end
      end
    end
  end
  table.sort(waiting, function(one, other) return one[2] > other[2] or (one[2] == other[2] and one[1] < other[1]) end)
  for _, item in ipairs(waiting) do earmark(cluster, item[3]) end
end

-- Places what waits: in order, whatever fits now, while there is room; see `domain/placing.py`.
-- Returns log lines as {run, line}, in order.
local function place_all(names)
  local notes, hopeless = {}, {}
  local cluster, runs = load_cluster(), load_runs(names)
  load_earmarks(cluster)
  if #cluster.open > 0 or is_thorough then leave_a_slot(cluster) end
  try_owners(cluster, runs, hopeless, notes)
  for _ = 1, ROUND do
    if #cluster.open == 0 then break end
    local run
    for _, other in ipairs(runs) do
      if head_of(other, cluster, hopeless) and (not run or comes_before(other, run)) then run = other end
    end
    if not run then break end
    local candidate = run.head
    run.head, run.at = nil, run.at + 1
    if try(cluster, run, candidate, hopeless, notes) then run.skipped = run.skipped - 1 end
  end
  local before, started = cluster.started_before, cluster.started_before + cluster.started
  local may_keep = is_thorough or math.floor(before / LOOKS) < math.floor(started / LOOKS)
  if may_keep or (#cluster.open > 0 and started == before) then
    see_to_the_widest(cluster, runs, started, hopeless, notes, may_keep)
  end
  if cluster.started > 0 then redis.call('SET', 'tek:started', text(before + cluster.started)) end
  for _, run in ipairs(runs) do
    if run.started > 0 and redis.call('EXISTS', run.keys.wanting) == 0 then
      redis.call('ZREM', 'tek:wanting', run.run)
    end
  end
  return notes
end

-- How many times the memory a task gets after running out of it: no more than the largest worker has.
local function most_memory_ratio(ask, ratio)
  local asked, most = parse_ask(ask, '1').options[1][2], 0
  if asked == 0 then return ratio end
  for _, total in ipairs(redis.call('HVALS', 'tek:total')) do
    most = math.max(most, tonumber(string.match(total, '^%S+ (%S+)')))
  end
  return math.max(math.min(ratio, math.floor(most * 1000 / asked) / 1000), 1)
end

-- Has tasks of this run wait to be placed, each of which asks for something: a list of {index, attempt, ask}.
local function want(wishes)
  local started, at_now = redis.call('GET', 'tek:started') or '0', stamp
  local states, ranked, wide, told, names = {}, {}, {}, {}, {}
  for at, wish in ipairs(wishes) do names[at] = wish[1] end
  local starved = meta('has_policies') and fetch(K.starved, names) or {}
  local ranks = meta('has_ranks') and fetch(K.rank, names) or {}
  for at, wish in ipairs(wishes) do
    local index, attempt, ask = unpack(wish)
    local times, ratio = tonumber(starved[at] or '0'), '1'
    local kept = times > 0 and redis.call('HGET', K.policy, index)
    if kept then ratio = string.format('%.17g', most_memory_ratio(ask, cjson.decode(kept).memory ^ times)) end
    states[#states + 1] = index
    states[#states + 1] = 'H' .. text(attempt)
    ranked[#ranked + 1] = ranks[at] or index
    ranked[#ranked + 1] = index
    local size = size_of(parse_ask(ask, ratio))
    if size > WIDE then
      wide[#wide + 1] = text(0 - size)
      wide[#wide + 1] = index
    end
    told[#told + 1] = index
    told[#told + 1] = at_now .. ' ' .. started .. ' ' .. ratio
  end
  set_states(states)
  sliced(ranked, function(slice) redis.call('ZADD', K.wanting, unpack(slice)) end)
  sliced(wide, function(slice) redis.call('ZADD', K.wide, unpack(slice)) end)
  sliced(told, function(slice) redis.call('HSET', K.wanted, unpack(slice)) end)
  redis.call('ZADD', 'tek:wanting', 'NX', at_now, meta('run'))
  is_news = true
end

local function place()
  local names = is_news and redis.call('ZRANGE', 'tek:wanting', 0, -1) or {}
  return #names > 0 and place_all(names) or {}
end
