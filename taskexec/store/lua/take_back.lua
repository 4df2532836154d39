-- Takes back from a worker what was placed on it and has not started: it waits for another place, and gets one at once
-- where it fits. Atomic: what a worker claims meanwhile is its own. Its message stays in the worker's list, where a
-- claim finds it superseded. ARGV: worker, which takes nothing new. May be repeated, until it returns 0.
-- Returns how many tasks were taken back.
if not meta('run') then return 0 end
local count = requeue_unassigned(0, ARGV[1])
finish(ARGV[1])
return count
