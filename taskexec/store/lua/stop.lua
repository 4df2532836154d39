-- Stops a run: what waits or is queued is cancelled; with mode `kill` what runs as well (its late results are
-- refused). Atomic: a task is either started before or never. ARGV: mode, `drain` or `kill`. May be repeated.
-- Returns the run's status afterwards.
if meta('status') == 'pending' then begin(false) end
if meta('status') == 'running' then cancel_all(ARGV[1] == 'kill') end
finish('')
return meta('status')
