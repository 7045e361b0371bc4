-- change_rule: another rule decides the lanes; the old lanes go, everything below base is finished.
-- ARGV: owner, bridge, rule, base.
if not is_owner(ARGV[1], ARGV[2]) then return 0 end
if redis.call('HGET', KEYS[1], 'rule') == ARGV[3] then return 1 end -- done before: the new lanes stay
drop_lanes()
redis.call('EXPIRE', KEYS[1], KEEP_S)
redis.call('HSET', KEYS[1], 'rule', ARGV[3])
raise('base', ARGV[4])
return 1
