-- LEAVE. Answers OK dataset | FENCED dataset

if not entry_entitled() then
	return { 'FENCED', dataset }
end
if redis.call('DEL', lease_key) == 1 then
	redis.call('PUBLISH', channel, 'node ' .. node .. ' incarnation ' .. ARGV[3] .. ' left')
end
return { 'OK', dataset }
