import { type Case, freshName } from '../measuring/case.js'
import { atRate, runTool } from './tool.js'

/** Redis's own load generator, in C: it makes no ids, and looks at no reply. */
export function redisBenchmark(url: string): Case {
  const { hostname, port } = new URL(url)
  return {
    name: 'redis-benchmark -c 2 -P 500 XADD (in C)',
    messages: 200_000,
    run: async (messages) => {
      const stream = freshName()
      const server = ['-h', hostname, '-p', port]
      const load = ['-q', '-c', '2', '-P', '500', '-n', String(messages)]
      const fields = ['payload', 'x'.repeat(1024), 'id', 'm-1000000', 'timestamp', '1700000000000']
      try {
        const output = await runTool('redis-benchmark', [...server, ...load, 'XADD', stream, '*', ...fields])
        return atRate(messages, output, /([\d.]+) requests per second/)
      } finally {
        await runTool('redis-cli', [...server, 'DEL', stream])
      }
    },
  }
}
