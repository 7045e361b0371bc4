-- dispose: dead letters of an outcome are about to be written. ARGV: owner, bridge, lane, chain.
if not is_owner(ARGV[1], ARGV[2]) then return 0 end
local chain, outcome = held(ARGV[3], 'chain', 'outcome')
if chain ~= ARGV[4] or not outcome then return 0 end
redis.call('EXPIRE', KEYS[1], KEEP_S)
redis.call('HSET', KEYS[1], ARGV[3] .. '.disposing', '1')
return 1
