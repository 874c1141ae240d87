// `--no-lane` sends HTTP/1.1 through undici, too: what holds for our own connections holds for those.

process.env.SLUICE_TEST_LANE = 'off';
for (const name of ['answers', 'connections', 'pools', 'requests', 'tls']) await import(`./upstream-${name}.test.ts`);
