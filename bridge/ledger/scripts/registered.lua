-- What a registry's living members say. KEYS[1]: index. Answers member, words, member, words ...
local now = redis.call('TIME')
local answer = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now[1] * 1000, '+inf')) do
  local words = redis.call('GET', KEYS[1] .. ':' .. member)
  if words then
    answer[#answer + 1] = member
    answer[#answer + 1] = words
  end
end
return answer
