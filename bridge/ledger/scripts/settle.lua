-- settle: the rejected records of an outcome are disposed of. ARGV: owner, bridge, lane, chain, watermark, base.
if not is_owner(ARGV[1], ARGV[2]) then return 0 end
local chain, outcome = held(ARGV[3], 'chain', 'outcome')
if chain ~= ARGV[4] or not outcome then return 0 end
redis.call('HDEL', KEYS[1], ARGV[3] .. '.unsettled', ARGV[3] .. '.disposing')
raise(ARGV[3] .. '.mark', ARGV[5])
raise('base', ARGV[6])
redis.call('EXPIRE', KEYS[1], KEEP_S)
return 1
