-- What fits where: the rules of `domain/fit.py`, which says why, and of `placing.choose`. Not a script by itself: see
-- prelude.lua.

-- Asks, parsed once: numbers of the first line, and its options, which note whom they suit. Counted together, so that
-- there are never too many of either.
local parsed = cache_of(20 * MANY)
local function parse_ask(ask, ratio)
  local name = ratio == '1' and ask or ask .. '\n' .. ratio
  if parsed.kept[name] then return parsed.kept[name] end
  local result, options = nil, {}
  for row in string.gmatch(ask, '[^\n]+') do
    if not result then
      result = numbers(row)
    else
      local option = {has = {}, lacks = {}, suits = {}}
      for word in string.gmatch(row, '%S+') do
        local first = string.sub(word, 1, 1)
        if first == '+' then
          option.has[#option.has + 1] = ' ' .. string.sub(word, 2) .. ' '
        elseif first == '-' then
          option.lacks[#option.lacks + 1] = ' ' .. string.sub(word, 2) .. ' '
        else
          option[#option + 1] = tonumber(word)
        end
      end
      option[2] = math.ceil(option[2] * ratio)
      options[#options + 1] = option
    end
  end
  return remember(parsed, name, {priority = result[1], deadline = result[2] > 0 and result[2] or math.huge, duration = result[3],
    ranks = result[4], packed = result[5] == 1, options = options})
end

-- How wide a task is: thousandths of a core, over all ranks; see `placing.size_of`.
local function size_of(ask)
  local option = ask.options[1]
  return (option[1] + 8 * option[4] + math.floor(option[2] / 4) + 64000 * option[6]) * ask.ranks
end

local function has_traits(option, traits)
  if not string.find(traits, ' s:ready ', 1, true) then return false end
  for _, trait in ipairs(option.has) do
    if not string.find(traits, trait, 1, true) then return false end
  end
  for _, trait in ipairs(option.lacks) do
    if string.find(traits, trait, 1, true) then return false end
  end
  return true
end

local function suits(option, traits)
  local known = option.suits[traits]
  if known == nil then
    known = has_traits(option, traits)
    option.suits[traits], parsed.count = known, parsed.count + 1
  end
  return known
end

local function gpu_memory(option, size)
  return option[5] > 0 and option[5] or math.floor(size * option[4] / WHOLE)
end

-- Positions (from 0) of the GPUs that an option would get, or nil.
local function find_gpus(option, free, total)
  if option[4] == 0 then return {} end
  local found = {}
  for at = GPUS, #total, 2 do
    local gpu, share, memory, size = (at - GPUS) / 2, free[at], free[at + 1], total[at + 1]
    if option[4] < WHOLE then
      if share >= option[4] and memory >= gpu_memory(option, size) then found[#found + 1] = {share, gpu} end
    elseif share == WHOLE and size >= option[5] then
      found[#found + 1] = {size, gpu}
    end
  end
  local wanted = option[4] < WHOLE and 1 or math.floor(option[4] / WHOLE)
  if #found < wanted then return nil end
  table.sort(found, function(one, other) return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2]) end)
  local gpus = {}
  for at = 1, wanted do gpus[at] = found[at][2] end
  table.sort(gpus)
  return gpus
end

local function fits(option, free, total)
  if option[6] == 1 and (free[CPUS] ~= total[CPUS] or free[SLOTS] ~= total[SLOTS]) then return false end
  return free[SLOTS] >= 1 and free[CPUS] >= option[1] and free[MEMORY] >= option[2] and free[DISK] >= option[3]
end

local function debit(option, gpus, total)
  if option[6] == 1 then return moved(total, {}, 1) end
  local taken = {}
  for at = 1, #total do taken[at] = 0 end
  taken[CPUS], taken[MEMORY], taken[DISK], taken[SLOTS] = option[1], option[2], option[3], 1
  for _, gpu in ipairs(gpus) do
    local at = GPUS + 2 * gpu
    taken[at] = option[4] >= WHOLE and WHOLE or option[4]
    taken[at + 1] = option[4] >= WHOLE and total[at + 1] or gpu_memory(option, total[at + 1])
  end
  return taken
end

-- The best of some workers for one rank of an option: {worker, gpus, debit}, or nil.
local function choose(option, names, cluster, free, near, spare)
  local best, best_score
  for _, worker in ipairs(names) do
    local total, left = cluster.total[worker], free[worker]
    if fits(option, left, total) and suits(option, cluster.traits[worker]) then
      local gpus, limit = find_gpus(option, left, total), spare[worker]
      if gpus and not (limit and not within(debit(option, gpus, total), limit)) then
        local wasted = option[4] == 0 and (#total - GPUS + 1) / 2 or 0
        local rest = math.floor((left[CPUS] - option[1]) * 1000 / math.max(total[CPUS], 1))
          + math.floor((left[MEMORY] - option[2]) * 1000 / math.max(total[MEMORY], 1))
        local score = (wasted * 2 + (near[worker] and 0 or 1)) * 1000000 + rest
        if not best or score < best_score then best, best_score = {worker, gpus}, score end
      end
    end
  end
  if best then best[3] = debit(option, best[2], cluster.total[best[1]]) end
  return best
end

-- The option that is taken (from 0) and where each rank goes, or nil when not all of them fit now.
local function choose_all(ask, cluster, free, near, spare)
  for number, option in ipairs(ask.options) do
    local found, names, free_now, spare_now = {}, cluster.open, free, spare
    if ask.ranks > 1 then
      free_now, spare_now = {}, setmetatable({}, {__index = spare})
      for _, worker in ipairs(cluster.open) do free_now[worker] = free[worker] end
    end
    while #found < ask.ranks do
      local chosen = choose(option, names, cluster, free_now, near, spare_now)
      if not chosen then break end
      found[#found + 1] = chosen
      if #found < ask.ranks and not ask.packed then
        local others = {}
        for _, worker in ipairs(names) do
          if worker ~= chosen[1] then others[#others + 1] = worker end
        end
        names = others
      elseif #found < ask.ranks then
        free_now[chosen[1]] = moved(free_now[chosen[1]], chosen[3], -1)
        if spare_now[chosen[1]] then spare_now[chosen[1]] = moved(spare_now[chosen[1]], chosen[3], -1) end
      end
    end
    if #found == ask.ranks then return number - 1, found end
  end
  return nil
end
